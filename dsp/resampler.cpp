// Resampler, with libsoxr.
#include "dsp/resampler.h"

#include <soxr.h>

#include <cmath>
#include <string>

#include "base/error.h"

namespace coil::dsp {

void Resampler::Deleter::operator()(::soxr* handle) const { soxr_delete(handle); }

Resampler::Resampler(double from_hz, double to_hz, int channels) : ratio_(to_hz / from_hz), channels_(channels) {
  const soxr_io_spec_t io = soxr_io_spec(SOXR_FLOAT32_I, SOXR_FLOAT32_I);
  const soxr_quality_spec_t quality = soxr_quality_spec(SOXR_VHQ, 0);
  const soxr_runtime_spec_t runtime = soxr_runtime_spec(1);  // one thread each: several files run in parallel
  soxr_error_t error = nullptr;
  handle_.reset(soxr_create(from_hz, to_hz, static_cast<unsigned>(channels), &error, &io, &quality, &runtime));
  if (error != nullptr) {
    throw Error("cannot resample from " + std::to_string(from_hz) + " Hz to " + std::to_string(to_hz) +
                " Hz: " + error);
  }
}

void Resampler::reset() {
  if (const soxr_error_t error = soxr_clear(handle_.get()); error != nullptr)
    throw Error(std::string("resampling failed: ") + error);
}

void Resampler::process(std::span<const float> in, std::vector<float>& out) {
  const size_t frames = in.size() / channels_;
  const size_t room = static_cast<size_t>(std::ceil(frames * ratio_)) + 64;
  size_t used = 0;
  size_t made = 0;
  // A null input would end the signal.
  while (used < frames || (frames > 0 && made == room)) {
    const size_t begin = out.size();
    out.resize(begin + room * channels_);
    size_t consumed = 0;
    const soxr_error_t error = soxr_process(handle_.get(), in.data() + used * channels_, frames - used, &consumed,
                                            out.data() + begin, room, &made);
    out.resize(begin + made * channels_);
    if (error != nullptr) throw Error(std::string("resampling failed: ") + error);
    used += consumed;
  }
}

}  // namespace coil::dsp
