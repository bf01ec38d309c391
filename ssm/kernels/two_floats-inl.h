// Numbers in double precision stored as two floats. The second holds the digits that do not fit into the first.
#if defined(COIL_SSM_KERNELS_TWO_FLOATS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef COIL_SSM_KERNELS_TWO_FLOATS_INL_H_
#undef COIL_SSM_KERNELS_TWO_FLOATS_INL_H_
#else
#define COIL_SSM_KERNELS_TWO_FLOATS_INL_H_
#endif

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace coil::ssm {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <class D, class V = hn::Vec<D>>
HWY_INLINE V LoadTwoFloats(D d, const float* HWY_RESTRICT first, const float* HWY_RESTRICT rest) {
  const hn::Rebind<float, D> narrow;
  return hn::Add(hn::PromoteTo(d, hn::LoadU(narrow, first)), hn::PromoteTo(d, hn::LoadU(narrow, rest)));
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE void StoreTwoFloats(D d, V value, float* HWY_RESTRICT first, float* HWY_RESTRICT rest) {
  const hn::Rebind<float, D> narrow;
  const auto rounded = hn::DemoteTo(narrow, value);
  hn::StoreU(rounded, narrow, first);
  hn::StoreU(hn::DemoteTo(narrow, hn::Sub(value, hn::PromoteTo(d, rounded))), narrow, rest);
}

}  // namespace HWY_NAMESPACE
}  // namespace coil::ssm
HWY_AFTER_NAMESPACE();

#endif
