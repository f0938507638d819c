import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.cloudevents.CloudEvent;
import io.cloudevents.kafka.CloudEventDeserializer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.RecordDeserializationException;
import org.apache.kafka.common.serialization.StringDeserializer;

/**
 * Reads a topic from its beginning to its present end with the CloudEvents SDK; prints one JSON line per record.
 * Usage: java -cp 'target/dependency/*' Consume.java BROKERS TOPIC
 */
public class Consume {
    private static final ObjectMapper JSON = new ObjectMapper();

    public static void main(String[] arguments) throws Exception {
        Map<String, Object> config = Map.of("bootstrap.servers", arguments[0], "group.id", "java", "enable.auto.commit", false);
        try (var consumer = new KafkaConsumer<>(config, new StringDeserializer(), new CloudEventDeserializer())) {
            List<TopicPartition> partitions = consumer.partitionsFor(arguments[1]).stream()
                .map(info -> new TopicPartition(info.topic(), info.partition())).toList();
            consumer.assign(partitions);
            Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
            consumer.seekToBeginning(partitions);
            while (partitions.stream().anyMatch(partition -> consumer.position(partition) < ends.get(partition))) {
                try {
                    for (ConsumerRecord<String, CloudEvent> record : consumer.poll(Duration.ofSeconds(1))) {
                        System.out.println(line(record));
                    }
                } catch (RecordDeserializationException rejected) {
                    ObjectNode line = JSON.createObjectNode().put("partition", rejected.topicPartition().partition());
                    line.put("offset", rejected.offset()).put("rejected", String.valueOf(rejected.getCause()));
                    System.out.println(line);
                    consumer.seek(rejected.topicPartition(), rejected.offset() + 1);
                }
            }
        }
    }

    private static ObjectNode line(ConsumerRecord<String, CloudEvent> record) throws Exception {
        CloudEvent event = record.value();
        ObjectNode line = JSON.createObjectNode().put("partition", record.partition());
        line.put("offset", record.offset()).put("timestamp", record.timestamp());
        ObjectNode headers = line.putObject("headers");
        record.headers().forEach(header -> headers.put(header.key(), new String(header.value(), StandardCharsets.UTF_8)));
        line.put("id", event.getId()).put("source", event.getSource().toString());
        line.put("type", event.getType()).put("subject", event.getSubject()).put("time", event.getTime().toString());
        for (String extension : List.of("storeid", "position", "version")) {
            line.put(extension, (String) event.getExtension(extension));
        }
        line.set("data", JSON.readTree(event.getData().toBytes()));
        return line;
    }
}
