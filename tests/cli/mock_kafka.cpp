// librdkafka's mock cluster as a separate program, so that several workers can use it and crash. Reads commands, and
// answers each with lines and "done".
//   topic NAME PARTITIONS
//   produce NAME PARTITION COUNT        then COUNT lines, each a message: key, tab, text
//   dump NAME                           one line per message, with tabs between: partition, offset, key,
//                                       header coil-source, text
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <map>
#include <sstream>
#include <string>

namespace {

void check(bool is_good, const std::string& what) {
  if (is_good) return;
  std::fprintf(stderr, "mock_kafka: %s\n", what.c_str());
  std::exit(1);
}

rd_kafka_t* make_client(rd_kafka_type_t type, const std::map<std::string, std::string>& properties) {
  rd_kafka_conf_t* configuration = rd_kafka_conf_new();
  char reason[512];
  for (const auto& [name, value] : properties) {
    check(rd_kafka_conf_set(configuration, name.c_str(), value.c_str(), reason, sizeof reason) == RD_KAFKA_CONF_OK,
          reason);
  }
  rd_kafka_t* client = rd_kafka_new(type, configuration, reason, sizeof reason);
  check(client != nullptr, reason);
  return client;
}

void produce(rd_kafka_t* producer, const std::string& topic, int partition, int count) {
  std::string line;
  for (int i = 0; i < count; ++i) {
    check(bool(std::getline(std::cin, line)), "the input ends inside of produce");
    const size_t tab = line.find('\t');
    const std::string key = line.substr(0, tab), text = line.substr(tab + 1);
    const auto error =
        rd_kafka_producev(producer, RD_KAFKA_V_TOPIC(topic.c_str()), RD_KAFKA_V_PARTITION(partition),
                          RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_KEY(key.data(), key.size()),
                          RD_KAFKA_V_VALUE(const_cast<char*>(text.data()), text.size()), RD_KAFKA_V_END);
    check(error == RD_KAFKA_RESP_ERR_NO_ERROR, rd_kafka_err2str(error));
  }
  check(rd_kafka_flush(producer, 10'000) == RD_KAFKA_RESP_ERR_NO_ERROR, "not delivered");
}

std::string header(const rd_kafka_message_t* message, const char* name) {
  rd_kafka_headers_t* headers = nullptr;
  const void* value = nullptr;
  size_t size = 0;
  if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR) return "";
  if (rd_kafka_header_get_last(headers, name, &value, &size) != RD_KAFKA_RESP_ERR_NO_ERROR) return "";
  return {static_cast<const char*>(value), size};
}

void dump(const std::string& brokers, const std::string& topic, int partitions) {
  rd_kafka_t* consumer = make_client(
      RD_KAFKA_CONSUMER, {{"bootstrap.servers", brokers}, {"group.id", "dump"}, {"enable.partition.eof", "true"}});
  rd_kafka_poll_set_consumer(consumer);
  rd_kafka_topic_partition_list_t* list = rd_kafka_topic_partition_list_new(partitions);
  for (int i = 0; i < partitions; ++i)
    rd_kafka_topic_partition_list_add(list, topic.c_str(), i)->offset = RD_KAFKA_OFFSET_BEGINNING;
  check(rd_kafka_assign(consumer, list) == RD_KAFKA_RESP_ERR_NO_ERROR, "not assigned");
  rd_kafka_topic_partition_list_destroy(list);
  for (int ended = 0; ended < partitions;) {
    rd_kafka_message_t* message = rd_kafka_consumer_poll(consumer, 10'000);
    check(message != nullptr, "dump: nothing came for 10 s");
    if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
      ++ended;
    } else {
      check(message->err == RD_KAFKA_RESP_ERR_NO_ERROR, rd_kafka_err2str(message->err));
      const std::string key(static_cast<const char*>(message->key), message->key_len);
      const std::string text(static_cast<const char*>(message->payload), message->len);
      std::printf("%d\t%lld\t%s\t%s\t%s\n", message->partition, static_cast<long long>(message->offset), key.c_str(),
                  header(message, "coil-source").c_str(), text.c_str());
    }
    rd_kafka_message_destroy(message);
  }
  rd_kafka_consumer_close(consumer);
  rd_kafka_destroy(consumer);
}

}  // namespace

int main() {
  rd_kafka_t* host = make_client(RD_KAFKA_PRODUCER, {{"log_level", "3"}});
  rd_kafka_mock_cluster_t* cluster = rd_kafka_mock_cluster_new(host, 1);
  const std::string brokers = rd_kafka_mock_cluster_bootstraps(cluster);
  rd_kafka_t* producer = make_client(RD_KAFKA_PRODUCER, {{"bootstrap.servers", brokers}, {"linger.ms", "1"}});
  std::printf("%s\n", brokers.c_str());
  std::fflush(stdout);

  std::map<std::string, int> partitions;
  std::string line;
  while (std::getline(std::cin, line)) {
    std::istringstream words(line);
    std::string command, topic;
    int first = 0, second = 0;
    words >> command >> topic >> first >> second;
    if (command == "topic") {
      check(rd_kafka_mock_topic_create(cluster, topic.c_str(), first, 1) == RD_KAFKA_RESP_ERR_NO_ERROR, "not created");
      partitions[topic] = first;
    } else if (command == "produce") {
      produce(producer, topic, first, second);
    } else if (command == "dump") {
      dump(brokers, topic, partitions.at(topic));
    } else {
      check(false, "unknown command '" + line + "'");
    }
    std::printf("done\n");
    std::fflush(stdout);
  }
  rd_kafka_destroy(producer);
  rd_kafka_mock_cluster_destroy(cluster);
  rd_kafka_destroy(host);
}
