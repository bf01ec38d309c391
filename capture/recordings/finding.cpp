// The names of findings in reports and JSON.
#include "capture/recordings/finding.h"

#include <cstdarg>
#include <cstdio>

namespace coil::capture {

std::string sentence(const char* format, ...) {
  va_list values, again;
  va_start(values, format);
  va_copy(again, values);
  std::string text(static_cast<size_t>(std::vsnprintf(nullptr, 0, format, values)), ' ');
  std::vsnprintf(text.data(), text.size() + 1, format, again);
  va_end(again);
  va_end(values);
  return text;
}

const char* name_of(Severity severity) {
  switch (severity) {
    case Severity::kNote:
      return "note";
    case Severity::kWarning:
      return "warning";
    case Severity::kFatal:
      return "error";
  }
  return "";
}

const char* name_of(FindingKind kind) {
  switch (kind) {
    case FindingKind::kLatency:
      return "latency";
    case FindingKind::kPolarity:
      return "polarity";
    case FindingKind::kDrift:
      return "drift";
    case FindingKind::kRate:
      return "rate";
    case FindingKind::kLength:
      return "length";
    case FindingKind::kChannels:
      return "channels";
    case FindingKind::kClipping:
      return "clipping";
    case FindingKind::kLevel:
      return "level";
    case FindingKind::kSilence:
      return "silence";
    case FindingKind::kDropOut:
      return "drop-out";
    case FindingKind::kNoise:
      return "noise";
    case FindingKind::kHum:
      return "hum";
    case FindingKind::kGate:
      return "gate";
    case FindingKind::kTail:
      return "tail";
    case FindingKind::kSwapped:
      return "swapped";
    case FindingKind::kUnrelated:
      return "unrelated";
    case FindingKind::kRepeatability:
      return "repeatability";
    case FindingKind::kConstant:
      return "constant offset";
    case FindingKind::kEncoding:
      return "encoding";
    case FindingKind::kDamage:
      return "damage";
  }
  return "";
}

}  // namespace coil::capture
