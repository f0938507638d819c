// Reads a topic from its beginning to its present end with the CloudEvents SDK, and prints a JSON
// line for each record.
// Usage: node consume.js BROKERS TOPIC
import { Kafka as Binding } from "cloudevents";
import { Kafka, logLevel } from "kafkajs";

const [brokers, topic] = process.argv.slice(2);
const kafka = new Kafka({ clientId: "javascript", brokers: brokers.split(","), logLevel: logLevel.ERROR });

const admin = kafka.admin();
await admin.connect();
const ends = await admin.fetchTopicOffsets(topic);
await admin.disconnect();
let due = ends.reduce((sum, { low, high }) => sum + Number(high) - Number(low), 0);

function line(partition, message) {
  const headers = Object.fromEntries(Object.entries(message.headers).map(([name, value]) => [name, value.toString()]));
  const place = { partition, offset: Number(message.offset), timestamp: Number(message.timestamp), headers };
  try {
    const event = Binding.toEvent({ headers, key: message.key.toString(), value: message.value.toString() });
    const { id, source, type, subject, time, storeid, position, version, data } = event;
    return { ...place, id, source, type, subject, time, storeid, position, version, data };
  } catch (error) {
    return { ...place, rejected: String(error) };
  }
}

const consumer = kafka.consumer({ groupId: `javascript-${process.pid}` });
await consumer.connect();
await consumer.subscribe({ topics: [topic], fromBeginning: true });
await new Promise((resolve, reject) => {
  consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error));
  consumer.run({
    eachMessage: async ({ partition, message }) => {
      console.log(JSON.stringify(line(partition, message)));
      if (--due === 0) resolve();
    },
  });
});
await consumer.disconnect();
