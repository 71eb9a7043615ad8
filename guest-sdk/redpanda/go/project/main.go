// Drops debug events, calls `msg` `message`, and says where events come from.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/redpanda-data/redpanda/src/transform-sdk/go/transform"
)

var env = "dev"

func main() {
	if given, found := os.LookupEnv("ENV"); found {
		env = given
	}
	transform.OnRecordWritten(project)
}

func project(e transform.WriteEvent, w transform.RecordWriter) error {
	record := e.Record()
	var event map[string]any
	if err := json.Unmarshal(record.Value, &event); err != nil {
		return fmt.Errorf("the value is not a JSON object: %w", err)
	}
	if event["level"] == "debug" {
		return nil
	}
	if msg, found := event["msg"]; found {
		delete(event, "msg")
		event["message"] = msg
	}
	event["env"] = env
	value, err := json.Marshal(event)
	if err != nil {
		return err
	}
	record.Value = value
	return w.Write(record)
}
