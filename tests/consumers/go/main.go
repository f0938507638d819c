// Reads a topic from its beginning to its present end with the CloudEvents SDK, and prints a JSON
// line for each record.
// Usage: consumer BROKERS TOPIC
package main

import (
	"context"
	"encoding/json"
	"log"
	"os"
	"strings"

	"github.com/IBM/sarama"
	"github.com/cloudevents/sdk-go/protocol/kafka_sarama/v2"
	"github.com/cloudevents/sdk-go/v2/binding"
)

func main() {
	brokers, topic := strings.Split(os.Args[1], ","), os.Args[2]
	client, err := sarama.NewClient(brokers, sarama.NewConfig())
	check(err)
	defer client.Close()
	consumer, err := sarama.NewConsumerFromClient(client)
	check(err)
	partitions, err := client.Partitions(topic)
	check(err)
	out := json.NewEncoder(os.Stdout)
	for _, partition := range partitions {
		begin, err := client.GetOffset(topic, partition, sarama.OffsetOldest)
		check(err)
		end, err := client.GetOffset(topic, partition, sarama.OffsetNewest)
		check(err)
		if begin == end {
			continue
		}
		records, err := consumer.ConsumePartition(topic, partition, begin)
		check(err)
		for record := range records.Messages() {
			check(out.Encode(line(record)))
			if record.Offset+1 >= end {
				break
			}
		}
		check(records.Close())
	}
}

func line(record *sarama.ConsumerMessage) map[string]any {
	headers := map[string]string{}
	for _, header := range record.Headers {
		headers[string(header.Key)] = string(header.Value)
	}
	line := map[string]any{
		"partition": record.Partition, "offset": record.Offset,
		"timestamp": record.Timestamp.UnixMilli(), "headers": headers,
	}
	event, err := binding.ToEvent(context.Background(), kafka_sarama.NewMessageFromConsumerMessage(record))
	if err != nil {
		line["rejected"] = err.Error()
		return line
	}
	line["id"], line["source"], line["type"] = event.ID(), event.Source(), event.Type()
	line["subject"], line["time"] = event.Subject(), event.Time()
	for _, name := range []string{"storeid", "position", "version"} {
		line[name] = event.Extensions()[name]
	}
	line["data"] = json.RawMessage(event.Data())
	return line
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
