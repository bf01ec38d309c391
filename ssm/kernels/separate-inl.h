// Kernels that are separate translation units, so that a change to one does not recompile all of them.
#if defined(COIL_SSM_KERNELS_SEPARATE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef COIL_SSM_KERNELS_SEPARATE_INL_H_
#undef COIL_SSM_KERNELS_SEPARATE_INL_H_
#else
#define COIL_SSM_KERNELS_SEPARATE_INL_H_
#endif

#include "hwy/highway.h"
#include "ssm/kernels/kernels.h"

HWY_BEFORE_NAMESPACE();
namespace coil::ssm {
namespace HWY_NAMESPACE {

void Attend(const AttentionKernel& m, Runs runs);

#if HWY_TARGET == HWY_SCALAR
inline constexpr decltype(Kernels::narrow_layers) NarrowLayers = nullptr;
#else
void NarrowLayers(std::span<const NarrowLayer> layers, std::span<const NarrowRun> runs, float* h);
#endif

void Mamba3StepsOf(const Mamba3Steps& m, const float* x, size_t x_stride, float* out, size_t frames);
void Mamba3Rotate(const Mamba3Kernel& m, Runs runs);
void Mamba3Scan(const Mamba3Kernel& m, Runs runs);
void Mamba3End(const Mamba3Kernel& m, Runs runs);
void MimoGate(const float* y, size_t y_stride, const float* z, size_t z_stride, const float* z_weight,
              const float* o_weight, size_t rank, float* out, size_t out_stride, size_t width, size_t frames);

}  // namespace HWY_NAMESPACE
}  // namespace coil::ssm
HWY_AFTER_NAMESPACE();

#endif
