// Compiles the kernels once for every SIMD target and provides the tables.
#include "ssm/kernels/kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ssm/kernels/kernels.cpp"
#include "hwy/foreach_target.h"

#include "hwy/highway.h"
#include "ssm/kernels/linear-inl.h"
#include "ssm/kernels/mamba1_frame-inl.h"
#include "ssm/kernels/pointwise-inl.h"
#include "ssm/kernels/scan-inl.h"
#include "ssm/kernels/separate-inl.h"

HWY_BEFORE_NAMESPACE();
namespace coil::ssm {
namespace HWY_NAMESPACE {

const Kernels* Table() {
  static const Kernels kernels{
      .name = hwy::TargetName(HWY_TARGET),
      .lanes = hn::Lanes(hn::ScalableTag<float>()),
      .group = kGroup,
      .linear = Linear,
      .rms_scale = RmsScale,
      .rms_norm = RmsNorm,
      .tanh = TanhBlock,
      .tanh_rest = TanhRest,
      .gelu = GeluBlock,
      .silu = SiluBlock,
      .glu = GluBlock,
      .gate = Gate,
      .add = AddBlock,
      .film = Film,
      .moving_dot = MovingDot,
      .time_step = TimeStep,
      .project_time_step = ProjectTimeStep,
      .decay = Decay,
      .conv_silu = ConvSilu,
      .envelopes = Envelopes,
      .s4d = S4d,
      .s4d_end = S4dEnd,
      .narrow_layers = NarrowLayers,
      .selective_scan = SelectiveScanBlock,
      .selective_scan_end = SelectiveScanEnd,
      .ssd = SsdBlock,
      .ssd_end = SsdEnd,
      .mamba3_steps = Mamba3StepsOf,
      .mamba3_rotate = Mamba3Rotate,
      .mamba3_scan = Mamba3Scan,
      .mamba3_end = Mamba3End,
      .mimo_gate = MimoGate,
      .attend = Attend,
      .mamba1_frame = Mamba1FrameOf,
  };
  return &kernels;
}

}  // namespace HWY_NAMESPACE
}  // namespace coil::ssm
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <algorithm>
#include <bit>
#include <cctype>
#include <cmath>

#include "base/error.h"
#include "ssm/machine/target.h"

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
  // Targets that the compiler assumes are available even where Highway checks for more: its NEON requires AES, which a
  // Raspberry Pi 4 lacks.
  for (int64_t rest = (hwy::SupportedTargets() | HWY_STATIC_TARGET) & HWY_TARGETS; rest != 0;
       rest &= rest - 1) {  // lower bits are better targets
    hwy::ChosenTarget one;
    one.Update(rest & -rest);
    tables.push_back(HWY_DISPATCH_TABLE(Table)[one.GetIndex()]());
  }
  return tables;
}

namespace {

// The group that a panel belongs to. Groups are as wide as possible with the panels that remain.
struct Group {
  size_t first = 0, panels = 0;
};
Group group_of(size_t panel, size_t panels, size_t widest) {
  Group group{0, widest};
  while (true) {
    while (group.first + group.panels > panels) group.panels /= 2;
    if (panel < group.first + group.panels) return group;
    group.first += group.panels;
  }
}

uint16_t to_bf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  return uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);  // to nearest, ties to even; weights are finite
}

// For few rows, a dot product and a sum over its lanes cost less than panels that are mostly padding.
bool better_as_dots(size_t rows, size_t columns, size_t lanes) {
  return rows <= kMaxDots && rows * (columns / lanes + 8) < columns;
}

// With few rows, a single frame would wait for the latency of its sums, so it uses more chains. Matrices in narrower
// formats are large and have enough independent sums.
size_t chains_of(WeightFormat format, size_t panels, size_t columns) {
  if (format != WeightFormat::f32 || panels >= 4) return 1;
  return panels <= 2 && columns >= 32 ? 4 : 2;
}

// Allocates a matrix with all weights 0.
PackedLinear laid_out(const Kernels& kernels, WeightFormat format, size_t rows, size_t columns, bool as_dots) {
  PackedLinear packed;
  packed.format = format;
  packed.d_in = columns;
  packed.d_out = padded(rows);
  size_t places;
  if (as_dots) {
    packed.dots = rows;
    const size_t width = padded(packed.d_in);
    packed.lanes = std::min(kernels.lanes, width % kPad == 0 ? kPad : kHalfPad);
    places = rows * width;
    for (size_t r = 0; r < rows; ++r) packed.offset.push_back(r * width), packed.step.push_back(1);
  } else {
    packed.lanes = std::min(kernels.lanes, packed.d_out % kPad == 0 ? kPad : kHalfPad);
    places = packed.d_in * packed.d_out;
    const size_t panels = packed.d_out / packed.lanes;
    packed.chains = chains_of(format, panels, columns);
    for (size_t panel = 0; panel < panels; ++panel) {
      const Group group = group_of(panel, panels, kernels.group);
      for (size_t lane = 0; lane < packed.lanes; ++lane) {
        packed.offset.push_back((group.first * packed.d_in + panel - group.first) * packed.lanes + lane);
        packed.step.push_back(group.panels * packed.lanes);
      }
    }
  }
  packed.bias.assign(packed.d_out, 0.0f);
  if (format == WeightFormat::f32) packed.f32.assign(places, 0.0f);
  if (format == WeightFormat::bf16) packed.bf16.assign(places, 0);
  if (format == WeightFormat::int8) packed.int8.assign(places, 0), packed.row_scale.assign(packed.d_out, 0.0f);
  return packed;
}

}  // namespace

PackedLinear pack_linear(const Kernels& kernels, WeightFormat format, const float* source, size_t source_columns,
                         const float* bias, const std::vector<int>& rows, const std::vector<int>& columns) {
  PackedLinear packed = laid_out(kernels, format, rows.size(), columns.size(),
                                 better_as_dots(rows.size(), columns.size(), kernels.lanes));
  for (size_t r = 0; r < rows.size(); ++r) {
    if (rows[r] < 0) continue;
    const float* row = source + size_t(rows[r]) * source_columns;
    if (bias) packed.bias[r] = bias[size_t(rows[r])];
    float peak = 0;
    for (const int k : columns) peak = k < 0 ? peak : std::max(peak, std::abs(row[k]));
    if (format == WeightFormat::int8) packed.row_scale[r] = peak / 127;
    for (size_t k = 0; k < columns.size(); ++k) {
      if (columns[k] < 0) continue;
      const size_t at = packed.offset[r] + k * packed.step[r];
      const float weight = row[columns[k]];
      if (format == WeightFormat::f32) packed.f32[at] = weight;
      if (format == WeightFormat::bf16) packed.bf16[at] = to_bf16(weight);
      if (format == WeightFormat::int8 && peak > 0) packed.int8[at] = int8_t(std::lround(weight / peak * 127));
    }
  }
  return packed;
}

PackedLinear select_rows(const Kernels& kernels, const PackedLinear& from, std::span<const uint32_t> rows) {
  PackedLinear packed = laid_out(kernels, from.format, rows.size(), from.d_in, from.dots > 0);
  packed.chains = from.chains;
  for (size_t r = 0; r < rows.size(); ++r) {
    const size_t row = rows[r];
    packed.bias[r] = from.bias[row];
    if (!from.row_scale.empty()) packed.row_scale[r] = from.row_scale[row];
    const auto copy = [&](const auto& weights, auto& to) {
      for (size_t k = 0; k < from.d_in && !weights.empty(); ++k)
        to[packed.offset[r] + k * packed.step[r]] = weights[from.offset[row] + k * from.step[row]];
    };
    copy(from.f32, packed.f32);
    copy(from.bf16, packed.bf16);
    copy(from.int8, packed.int8);
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

Target Target::with(WeightFormat weights) const {
  Target target = *this;
  target.weights_ = weights;
  return target;
}

const char* Target::name() const { return kernels_->name; }
std::string Target::label() const {
  return weights_ == WeightFormat::f32 ? name() : name() + std::string(" ") + to_string(weights_);
}

size_t bytes_of(WeightFormat format) { return format == WeightFormat::f32 ? 4 : format == WeightFormat::bf16 ? 2 : 1; }

const char* to_string(WeightFormat format) {
  switch (format) {
    case WeightFormat::f32:
      return "f32";
    case WeightFormat::bf16:
      return "bf16";
    case WeightFormat::int8:
      return "int8";
  }
  return "?";
}

WeightFormat weight_format_from_name(const std::string& name) {
  for (const WeightFormat format : {WeightFormat::f32, WeightFormat::bf16, WeightFormat::int8})
    if (lower(name) == to_string(format)) return format;
  throw Error("weights '" + name + "' are not known; there are f32, bf16, int8");
}

}  // namespace coil::ssm
#endif
