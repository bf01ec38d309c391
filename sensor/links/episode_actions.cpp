// Runs commands and requests for episodes. A full queue drops its oldest text, because the newest describes the current
// situation best.
#include "sensor/links/episode_actions.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#ifdef COIL_METRICS
#include <httplib.h>
#endif

#include "base/error.h"
#include "sensor/formats/timestamp.h"

extern char** environ;

namespace coil::sensor {
namespace {

using Json = nlohmann::ordered_json;
using std::chrono::milliseconds;
constexpr milliseconds kFirstPause{500}, kLongestPause{60'000}, kLook{10};
constexpr std::chrono::seconds kLongestCommand{60};
constexpr int kConnect_s = 5, kAnswer_s = 10;

std::string dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

std::string event_of(const Result& result) {
  Json event = {{"sensor", readable_key(result.key())}, {"episode", name_of(result.episode)}};
  if (result.settings && !result.settings->name.empty()) event["name"] = result.settings->name;
  if (result.selection->time_ns) event["time"] = format_timestamp(*result.selection->time_ns);
  event["status"] = name_of(result.status);
  if (result.has_score) event["score"] = result.score;
  if (const std::string cause = cause_of(result); !cause.empty()) event["cause"] = cause;
  Json values = Json::object(), units = Json::object();
  for (const ValueResult& value : result.values) {
    values[std::string(value.name)] = value.is_missing && !value.is_left_out ? Json() : Json(value.value);
    if (const std::string_view unit = result.unit_of(value.name); !unit.empty()) units[std::string(value.name)] = unit;
  }
  event["values"] = std::move(values);
  if (!units.empty()) event["units"] = std::move(units);
  return dump(event);
}

std::string event_of(const Silence& silence) {
  Json event = {{"sensor", readable_key(silence.key)}, {"episode", silence.has_ended ? "end" : "begin"}};
  if (silence.settings && !silence.settings->name.empty()) event["name"] = silence.settings->name;
  if (silence.time_ns) event["time"] = format_timestamp(*silence.time_ns);
  event["status"] = silence.status();
  event["cause"] = cause_of(silence);
  event["values"] = Json::object();
  return dump(event);
}

// The environment variables for the event's fields.
std::vector<std::string> environment_for(const std::string& text) {
  std::vector<std::string> variables;
  for (char** variable = environ; *variable; ++variable) {
    if (!std::string_view(*variable).starts_with("COIL_")) variables.emplace_back(*variable);
  }
  const Json event = Json::parse(text);
  for (const char* name : {"sensor", "name", "episode", "time", "status", "score", "cause"}) {
    if (!event.contains(name)) continue;
    std::string variable = std::string("COIL_") + name;
    std::transform(variable.begin(), variable.end(), variable.begin(), [](unsigned char c) { return std::toupper(c); });
    const Json& value = event[name];
    std::string shown = value.is_string() ? value.get<std::string>() : value.dump();
    std::erase(shown, '\0');
    variables.push_back(variable + "=" + shown);
  }
  return variables;
}

// As a file, so that a command that does not read its input blocks nothing.
int standard_input_of(const std::string& text) {
  const int file = ::memfd_create("coil-event", MFD_CLOEXEC);
  const std::string line = text + "\n";
  if (file < 0 || ::write(file, line.data(), line.size()) != static_cast<ssize_t>(line.size()) ||
      ::lseek(file, 0, SEEK_SET) != 0) {
    if (file >= 0) ::close(file);
    return -1;
  }
  return file;
}

// In its own process group, so that all its processes can be ended.
int spawn_shell(const std::string& command, const std::string& text, pid_t& process) {
  const int input = standard_input_of(text);
  if (input < 0) return errno;
  std::vector<std::string> variables = environment_for(text);
  std::vector<char*> environment;
  for (std::string& variable : variables) environment.push_back(variable.data());
  environment.push_back(nullptr);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_adddup2(&files, input, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&files, STDERR_FILENO, STDOUT_FILENO);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t defaults;
  sigemptyset(&defaults);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGXFSZ}) sigaddset(&defaults, signal);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  std::string shell = "sh", option = "-c", words = command;
  char* const arguments[] = {shell.data(), option.data(), words.data(), nullptr};
  const int error = ::posix_spawn(&process, "/bin/sh", &files, &attributes, arguments, environment.data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&files);
  ::close(input);
  return error;
}

}  // namespace

DeliveryQueue::DeliveryQueue(Options options, Deliver deliver, const Log& log)
    : options_(std::move(options)), deliver_(std::move(deliver)), log_(log), thread_([this] { run(); }) {}

DeliveryQueue::~DeliveryQueue() { finish(); }

uint64_t DeliveryQueue::finish() {
  if (!thread_.joinable()) return counts_.dropped;
  {
    const std::lock_guard lock(mutex_);
    is_ending_ = true;
    end_by_ = Clock::now() + options_.patience_at_end;
  }
  changed_.notify_all();
  {
    // While the receiver takes one text after another, delivery continues; if it takes none, it stops.
    std::unique_lock lock(mutex_);
    while (!waiting_.empty() && Clock::now() < end_by_) changed_.wait_until(lock, end_by_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
  const uint64_t given_up = counts_.dropped, waiting = waiting_.size();
  if (given_up + waiting > 0) {
    log_.write(LogLevel::kError, options_.name,
               std::to_string(given_up + waiting) + " of " + std::to_string(counts_.delivered + given_up + waiting) +
                   " events could not be delivered: " + std::to_string(given_up) + " were given up, " +
                   std::to_string(waiting) + " still waited at the end");
  }
  counts_.dropped += waiting;
  waiting_.clear();
  return counts_.dropped;
}

void DeliveryQueue::add(std::string text) {
  bool is_full = false;
  {
    const std::lock_guard lock(mutex_);
    is_full = waiting_.size() >= options_.most_waiting;
    // The first text may be in delivery.
    if (is_full) waiting_.erase(waiting_.begin() + (waiting_.size() > 1 ? 1 : 0)), ++counts_.dropped;
    waiting_.push_back(std::move(text));
  }
  changed_.notify_all();
  if (is_full) log_.write(LogLevel::kWarning, options_.name, "too many events wait: the oldest is dropped");
}

DeliveryQueue::Counts DeliveryQueue::counts() const {
  const std::lock_guard lock(mutex_);
  Counts counts = counts_;
  counts.waiting = waiting_.size();
  return counts;
}

void DeliveryQueue::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return !waiting_.empty() || is_ending_; });
    if (waiting_.empty() || stopping_) return;
    const std::string text = waiting_.front();
    const bool is_delivered = deliver(text, lock);
    if (!is_delivered && stopping_) return;
    waiting_.pop_front();
    is_delivered ? ++counts_.delivered : ++counts_.dropped;
    if (is_ending_ && is_delivered) end_by_ = std::max(end_by_, Clock::now() + options_.patience_at_end);
    changed_.notify_all();
  }
}

// Until it is delivered, or the patience ends.
bool DeliveryQueue::deliver(const std::string& text, std::unique_lock<std::mutex>& lock) {
  const auto give_up_at = Clock::now() + options_.patience;
  bool is_first = true;
  for (milliseconds pause = kFirstPause;; pause = std::min(2 * pause, kLongestPause)) {
    lock.unlock();
    const std::string trouble = deliver_(text, stopping_);
    lock.lock();
    if (trouble.empty()) return true;
    if (stopping_) return false;
    if (Clock::now() + pause >= give_up_at) {
      log_.write(LogLevel::kError, options_.name, trouble + "; the event is given up: " + text);
      return false;
    }
    if (std::exchange(is_first, false)) log_.write(LogLevel::kWarning, options_.name, trouble + "; it is tried again");
    ++counts_.retries;
    const auto until = is_ending_ ? std::min(Clock::now() + pause, end_by_) : Clock::now() + pause;
    changed_.wait_until(lock, until, [&] { return stopping_.load(); });
    if (stopping_) return false;
  }
}

DeliveryQueue::Deliver run_command(std::string command) {
  return [command = std::move(command)](const std::string& text, const std::atomic<bool>& stopping) -> std::string {
    pid_t process = 0;
    if (const int error = spawn_shell(command, text, process); error != 0)
      return std::string("cannot be started: ") + std::strerror(error);
    const auto end = std::chrono::steady_clock::now() + kLongestCommand;
    int status = 0;
    while (::waitpid(process, &status, WNOHANG) == 0) {
      if (stopping || std::chrono::steady_clock::now() >= end) {
        ::kill(-process, SIGKILL);
        ::waitpid(process, &status, 0);
        return "did not end in " + std::to_string(kLongestCommand.count()) + " s";
      }
      std::this_thread::sleep_for(kLook);
    }
    if (WIFSIGNALED(status)) return "was ended by signal " + std::to_string(WTERMSIG(status));
    return WEXITSTATUS(status) == 0 ? "" : "ended with exit code " + std::to_string(WEXITSTATUS(status));
  };
}

#ifdef COIL_METRICS
namespace {

std::string trouble_of(httplib::Error error) {
  switch (error) {
    case httplib::Error::Connection:
    case httplib::Error::ConnectionTimeout:
      return "cannot be reached";
    case httplib::Error::Read:
      return "gives no answer";
    case httplib::Error::Write:
      return "takes no data";
    case httplib::Error::SSLConnection:
      return "cannot be reached by https";
    case httplib::Error::SSLLoadingCerts:
    case httplib::Error::SSLServerVerification:
      return "has a certificate that this system does not trust";
    default:
      return httplib::to_string(error);
  }
}

}  // namespace

DeliveryQueue::Deliver post_to(const std::string& url) {
  const size_t host = url.find("://");
  const bool is_http = url.starts_with("http://") || url.starts_with("https://");
  if (!is_http || host + 3 >= url.size() || url[host + 3] == '/')
    throw Error("'" + url + "' is not a URL; expected http://host:port/path or https://host/path");
  const size_t slash = std::min(url.find('/', host + 3), url.size());
  const std::string server = url.substr(0, slash), path = slash < url.size() ? url.substr(slash) : "/";
  if (!httplib::Client(server).is_valid()) throw Error("'" + url + "' is not a usable URL");
  return [server, path](const std::string& text, const std::atomic<bool>&) -> std::string {
    httplib::Client client(server);
    client.set_connection_timeout(kConnect_s);
    client.set_read_timeout(kAnswer_s);
    client.set_write_timeout(kAnswer_s);
    const httplib::Result answer = client.Post(path, text, "application/json");
    if (!answer) return server + " " + trouble_of(answer.error());
    return answer->status >= 200 && answer->status < 300 ? "" : server + " answers " + std::to_string(answer->status);
  };
}
#endif

void EpisodeActions::write(const Result& result) {
  if (result.episode != Episode::kBegin && result.episode != Episode::kEnd) return;
  deliver(event_of(result));
}

void EpisodeActions::note(const Silence& silence) { deliver(event_of(silence)); }

void EpisodeActions::deliver(const std::string& event) {
  for (DeliveryQueue* queue : queues_) queue->add(event);
}

}  // namespace coil::sensor
