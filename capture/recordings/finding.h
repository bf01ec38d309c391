// What the checks of two recordings found: one sentence each, for people and for the report.
#pragma once

#include <string>
#include <vector>

namespace coil::capture {

enum class Severity {
  kNote,     // corrected automatically, or good to know
  kWarning,  // the model will be worse; the text says what to do
  kFatal     // nothing can be learned from these recordings; the text says the likely cause
};

// Each kind belongs to one check and has one meaning, so that programs can tell findings apart.
enum class FindingKind {
  kLatency,
  kPolarity,
  kDrift,
  kRate,
  kLength,
  kChannels,
  kClipping,
  kLevel,
  kSilence,
  kDropOut,
  kNoise,
  kHum,
  kGate,
  kTail,
  kSwapped,
  kUnrelated,
  kRepeatability,
  kConstant,
  kEncoding,
  kDamage
};

struct Finding {
  Severity severity;
  FindingKind kind;
  std::string text;
};

using Findings = std::vector<Finding>;

// Formats a text as std::printf does.
[[gnu::format(printf, 1, 2)]] std::string sentence(const char* format, ...);

const char* name_of(Severity severity);  // "note", "warning", "error"
const char* name_of(FindingKind kind);   // "latency", "polarity" ...

}  // namespace coil::capture
