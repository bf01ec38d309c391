// Compiles the kernels once for every SIMD target and offers the tables.
#include "ssm/kernels/kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ssm/kernels/kernels.cpp"
#include "hwy/foreach_target.h"

#include "hwy/highway.h"
#include "ssm/kernels/linear-inl.h"
#include "ssm/kernels/pointwise-inl.h"
#include "ssm/kernels/scan-inl.h"

HWY_BEFORE_NAMESPACE();
namespace coil::ssm {
namespace HWY_NAMESPACE {

const Kernels* Table() {
  static const Kernels kernels{
      .name = hwy::TargetName(HWY_TARGET),
      .lanes = hn::Lanes(hn::ScalableTag<float>()),
      .linear = Linear,
      .rms_norm = RmsNorm,
      .tanh = TanhBlock,
      .gelu = GeluBlock,
      .silu = SiluBlock,
      .glu = GluBlock,
      .gate = Gate,
      .add = AddBlock,
      .film = Film,
      .time_step = TimeStep,
      .decay = Decay,
      .conv_silu = ConvSilu,
      .envelopes = Envelopes,
      .s4d = S4d,
      .s4d_end = S4dEnd,
      .selective_scan = SelectiveScanBlock,
      .selective_scan_end = SelectiveScanEnd,
      .ssd = SsdBlock,
      .ssd_end = SsdEnd,
  };
  return &kernels;
}

}  // namespace HWY_NAMESPACE
}  // namespace coil::ssm
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <algorithm>
#include <cctype>

#include "ssm/error.h"
#include "ssm/target.h"

namespace coil::ssm {
namespace {
HWY_EXPORT(Table);

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return char(std::tolower(c)); });
  return text;
}
}  // namespace

std::vector<const Kernels*> available_kernels() {
  std::vector<const Kernels*> tables;
  for (int64_t rest = hwy::SupportedTargets() & HWY_TARGETS; rest != 0; rest &= rest - 1) {  // lower bits are better targets
    hwy::ChosenTarget one;
    one.Update(rest & -rest);
    tables.push_back(HWY_DISPATCH_TABLE(Table)[one.GetIndex()]());
  }
  return tables;
}

PackedLinear pack_linear(const Kernels& kernels, const float* source, size_t source_columns, const float* bias, const std::vector<int>& rows,
                         const std::vector<int>& columns) {
  PackedLinear packed;
  packed.d_in = columns.size();
  packed.d_out = padded(rows.size());
  packed.lanes = std::min(kernels.lanes, packed.d_out % kPad == 0 ? kPad : kHalfPad);
  packed.weights.assign(packed.d_in * packed.d_out, 0.0f);
  packed.bias.assign(packed.d_out, 0.0f);
  for (size_t r = 0; r < rows.size(); ++r) {
    if (rows[r] < 0) continue;
    const size_t row = size_t(rows[r]);
    if (bias) packed.bias[r] = bias[row];
    for (size_t k = 0; k < columns.size(); ++k)
      if (columns[k] >= 0)
        packed.weights[(r / packed.lanes * packed.d_in + k) * packed.lanes + r % packed.lanes] = source[row * source_columns + size_t(columns[k])];
  }
  return packed;
}

Target Target::best() { return all().front(); }

std::vector<Target> Target::all() {
  std::vector<Target> targets;
  for (const Kernels* kernels : available_kernels()) targets.push_back(Target(kernels));
  return targets;
}

Target Target::from_name(const std::string& name) {
  std::string names;
  for (const Target& target : all()) {
    if (lower(target.name()) == lower(name)) return target;
    names += (names.empty() ? "" : ", ") + lower(target.name());
  }
  throw Error("SIMD target '" + name + "' is not available; this machine has " + names);
}

const char* Target::name() const { return kernels_->name; }

}  // namespace coil::ssm
#endif
