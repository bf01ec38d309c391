// The same functions for a build without CUDA: there are no GPUs.
#include "gpu/batched_model.h"
#include "gpu/device.h"
#include "gpu/operators.h"
#include "base/error.h"

namespace coil::gpu {
namespace {

[[noreturn]] void fail() { throw Error("no GPU can be used: " + why_no_device()); }

}  // namespace

std::vector<Device> devices() { return {}; }
std::string why_no_device() { return "no CUDA in this build"; }

struct BatchedModel::Impl {};
BatchedModel::BatchedModel(std::shared_ptr<const ssm::Model>, const ssm::Checkpoint&, BatchedOptions) { fail(); }
BatchedModel::~BatchedModel() = default;
BatchedModel::BatchedModel(BatchedModel&&) noexcept = default;
BatchedModel& BatchedModel::operator=(BatchedModel&&) noexcept = default;
const ssm::Model& BatchedModel::model() const { fail(); }
void BatchedModel::process(std::span<const Frames>) { fail(); }
void BatchedModel::process_tokens(std::span<const Tokens>) { fail(); }
void BatchedModel::process_on_device(const float*, float*, size_t, std::span<ssm::State* const>) { fail(); }
size_t BatchedModel::device_bytes() const { fail(); }

struct DeviceSelectiveScan::Impl {};
DeviceSelectiveScan::DeviceSelectiveScan(const SelectiveScanShape&, int) { fail(); }
DeviceSelectiveScan::~DeviceSelectiveScan() = default;
void DeviceSelectiveScan::run(const SelectiveScanTensors&, void*) const { fail(); }
void run(std::span<const ssm::SelectiveScan>, int) { fail(); }
void run(std::span<const ssm::Ssd>, int, Precision) { fail(); }

}  // namespace coil::gpu
