// An accelerator whose memory is the CPU's, as PyTorch's device PrivateUse1: two devices, `sim:0` and `sim:1`.
//
// Each operation is computed by the CPU's kernel on the same memory. What a real accelerator refuses is refused: operands on different
// devices, and host tensors where the device's are expected. Random numbers come from a generator of each device, not from the CPU's.

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/autocast_mode.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/native/Resize.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/extension.h>
#include <torch/library.h>

#include <atomic>
#include <cstdlib>
#include <mutex>
#include <set>

namespace {

constexpr c10::DeviceIndex DEVICES = 2;
constexpr auto TYPE = c10::DeviceType::PrivateUse1;
thread_local c10::DeviceIndex current = 0;

// --- memory: counted by device, so that the peak of a run can be read

struct Count {
  std::atomic<int64_t> now{0}, peak{0};
  void add(int64_t bytes) {
    int64_t total = now += bytes, before = peak;
    while (before < total && !peak.compare_exchange_weak(before, total)) {}
  }
};
Count counts[DEVICES];

struct Block {  // of device memory: bytes of its own, or those of a tensor that a CPU kernel made
  void* data;
  int64_t bytes;
  c10::DeviceIndex index;
  c10::Storage made;
};

void free_block(void* context) {
  auto* block = static_cast<Block*>(context);
  counts[block->index].add(-block->bytes);
  if (!block->made) std::free(block->data);
  delete block;
}

c10::DataPtr data_of(Block* block) {
  counts[block->index].add(block->bytes);
  return {block->data, block, &free_block, c10::Device(TYPE, block->index)};
}

struct Allocator final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    void* data = bytes ? std::aligned_alloc(64, (bytes + 63) / 64 * 64) : nullptr;
    TORCH_CHECK(data || !bytes, "sim: out of memory");
    return data_of(new Block{data, static_cast<int64_t>(bytes), current, {}});
  }
  c10::DeleterFnPtr raw_deleter() const override { return nullptr; }
  void copy_data(void* to, const void* from, size_t bytes) const override { std::memcpy(to, from, bytes); }
};
Allocator allocator;
REGISTER_ALLOCATOR(TYPE, &allocator);

std::mutex pinned_lock;
std::set<void*> pinned;

void free_pinned(void* data) {
  std::lock_guard<std::mutex> guard(pinned_lock);
  pinned.erase(data);
  std::free(data);
}

struct PinnedAllocator final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    std::lock_guard<std::mutex> guard(pinned_lock);
    void* data = std::aligned_alloc(64, (bytes + 64) / 64 * 64);
    pinned.insert(data);
    return {data, data, &free_pinned, c10::Device(c10::DeviceType::CPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &free_pinned; }
  void copy_data(void* to, const void* from, size_t bytes) const override { std::memcpy(to, from, bytes); }
};
PinnedAllocator pinned_allocator;

// --- devices, streams (work is done when it is given) and generators

struct Guard final : c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return TYPE; }
  c10::Device exchangeDevice(c10::Device device) const override {
    auto before = getDevice();
    setDevice(device);
    return before;
  }
  c10::Device getDevice() const override { return {TYPE, current}; }
  void setDevice(c10::Device device) const override {
    TORCH_CHECK(device.index() < DEVICES, "sim: there is no device ", device);
    if (device.index() >= 0) current = device.index();
  }
  void uncheckedSetDevice(c10::Device device) const noexcept override { current = device.index() < 0 ? current : device.index(); }
  c10::Stream getStream(c10::Device device) const override { return c10::Stream(c10::Stream::DEFAULT, device); }
  c10::Stream getDefaultStream(c10::Device device) const override { return getStream(device); }
  c10::Stream getNewStream(c10::Device device, int) const override { return getStream(device); }
  c10::Stream getStreamFromGlobalPool(c10::Device device, bool) const override { return getStream(device); }
  c10::Stream exchangeStream(c10::Stream stream) const override { return getStream(stream.device()); }
  c10::DeviceIndex deviceCount() const noexcept override { return DEVICES; }
  void record(void** event, const c10::Stream&, const c10::DeviceIndex, const c10::EventFlag) const override { *event = &current; }
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  bool queryStream(const c10::Stream&) const override { return true; }
  void synchronizeStream(const c10::Stream&) const override {}
  void synchronizeEvent(void*) const override {}
  void synchronizeDevice(const c10::DeviceIndex) const override {}
};
C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard);

struct DeviceGenerator final : at::CPUGeneratorImpl {
  explicit DeviceGenerator(c10::DeviceIndex index) {
    device_ = c10::Device(TYPE, index);
    key_set_ = c10::DispatchKeySet(c10::DispatchKey::PrivateUse1);
  }
};

at::Generator& generator_of(c10::DeviceIndex index) {
  static at::Generator made[DEVICES] = {at::make_generator<DeviceGenerator>(0), at::make_generator<DeviceGenerator>(1)};
  return made[index < 0 ? current : index];
}

struct Hooks final : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  c10::DeviceIndex deviceCount() const override { return DEVICES; }
  void setCurrentDevice(c10::DeviceIndex index) const override { Guard().setDevice({TYPE, index}); }
  c10::DeviceIndex getCurrentDevice() const override { return current; }
  c10::DeviceIndex exchangeDevice(c10::DeviceIndex index) const override { return Guard().exchangeDevice({TYPE, index}).index(); }
  c10::DeviceIndex maybeExchangeDevice(c10::DeviceIndex index) const override { return exchangeDevice(index); }
  const at::Generator& getDefaultGenerator(c10::DeviceIndex index) const override { return generator_of(index); }
  at::Generator getNewGenerator(c10::DeviceIndex index) const override {
    return at::make_generator<DeviceGenerator>(index < 0 ? current : index);
  }
  c10::Allocator* getPinnedMemoryAllocator() const override { return &pinned_allocator; }
  bool isPinnedPtr(const void* data) const override {
    std::lock_guard<std::mutex> guard(pinned_lock);
    return pinned.count(const_cast<void*>(data));
  }
  void resizePrivateUse1Bytes(const c10::Storage& storage, size_t bytes) const override {
    auto fresh = allocator.allocate(bytes);
    if (auto kept = std::min(bytes, storage.nbytes())) std::memcpy(fresh.get(), storage.data(), kept);
    storage.unsafeGetStorageImpl()->set_data_ptr_noswap(std::move(fresh));
    storage.unsafeGetStorageImpl()->set_nbytes(bytes);
  }
};

// --- operations: the CPU's kernel, on tensors of the CPU with the same memory

void drop_storage(void* context) { delete static_cast<c10::Storage*>(context); }

at::Tensor on_cpu(const at::Tensor& tensor) {
  auto storage = tensor.storage();
  c10::DataPtr data(storage.mutable_data(), new c10::Storage(storage), &drop_storage, c10::Device(c10::DeviceType::CPU));
  c10::Storage same(c10::Storage::use_byte_size_t(), storage.nbytes(), std::move(data), c10::GetCPUAllocator(), true);
  auto made = at::detail::make_tensor<c10::TensorImpl>(std::move(same), c10::DispatchKeySet(c10::DispatchKey::CPU), tensor.dtype());
  made.unsafeGetTensorImpl()->set_sizes_and_strides(tensor.sizes(), tensor.strides(), tensor.storage_offset());
  if (tensor.is_conj()) made._set_conj(true);
  if (tensor.is_neg()) made._set_neg(true);
  return made;
}

c10::Storage on_device(const c10::Storage& made, c10::DeviceIndex index) {
  auto bytes = static_cast<int64_t>(made.nbytes());
  auto data = data_of(new Block{made.mutable_data(), bytes, index, made});
  return {c10::Storage::use_byte_size_t(), made.nbytes(), std::move(data), &allocator, true};
}

struct Operand {
  at::Tensor device, cpu;
  const void* data;
  bool written;
};

struct Call {
  std::vector<Operand> operands;
  c10::DeviceIndex index = -1;
  std::optional<at::Generator> generator;

  at::Tensor enter(const at::Tensor& tensor, bool written, bool index_operand, const c10::OperatorHandle& op) {
    if (!tensor.defined()) return tensor;
    if (tensor.device().type() != TYPE) {
      TORCH_CHECK(
          tensor.dim() == 0 || index_operand || tensor.is_meta(),
          "Expected all tensors to be on the same device, but found at least two devices, sim and ", tensor.device(), ", in ", op.schema().name());
      return tensor;
    }
    TORCH_CHECK(index < 0 || index == tensor.device().index(), "operands on two devices in ", op.schema().name());
    index = tensor.device().index();
    auto cpu = on_cpu(tensor);
    operands.push_back({tensor, cpu, cpu.storage().data(), written});
    return cpu;
  }

  at::Tensor leave(const at::Tensor& tensor) {
    if (!tensor.defined() || !tensor.is_cpu()) return tensor;
    auto at_index = index < 0 ? current : index;
    for (auto& operand : operands) {
      if (operand.cpu.is_same(tensor)) return operand.device;
      if (operand.cpu.storage().is_alias_of(tensor.storage())) return as(tensor, operand.device.storage());
    }
    return as(tensor, on_device(tensor.storage(), at_index));
  }

  static at::Tensor as(const at::Tensor& like, const c10::Storage& storage) {
    auto made = at::detail::make_tensor<c10::TensorImpl>(
        c10::Storage(storage), c10::DispatchKeySet(c10::DispatchKey::PrivateUse1), like.dtype());
    made.unsafeGetTensorImpl()->set_sizes_and_strides(like.sizes(), like.strides(), like.storage_offset());
    return made;
  }

  void write_back() {  // what a kernel resized, or reshaped in place
    for (auto& operand : operands) {
      auto* impl = operand.device.unsafeGetTensorImpl();
      if (operand.cpu.storage().data() != operand.data) impl->set_storage_keep_dtype(on_device(operand.cpu.storage(), index));
      if (operand.written && (impl->sizes() != operand.cpu.sizes() || impl->strides() != operand.cpu.strides()))
        impl->set_sizes_and_strides(operand.cpu.sizes(), operand.cpu.strides(), operand.cpu.storage_offset());
    }
  }
};

bool takes_host_indices(const c10::OperatorHandle& op) { return op.schema().name().find("index") != std::string::npos; }

void compute(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  at::AutoDispatchBelowADInplaceOrView below;
  const auto& schema = op.schema();
  auto count = schema.arguments().size();
  bool host = takes_host_indices(op);
  Call call;
  for (size_t place = 0; place < count; ++place) {
    auto& value = (*stack)[stack->size() - count + place];
    const auto* alias = schema.arguments()[place].alias_info();
    bool written = alias && alias->isWrite();
    if (value.isTensor()) {
      value = call.enter(value.toTensor(), written, host && place, op);
    } else if (value.isTensorList()) {
      std::vector<at::Tensor> entered;
      for (const at::Tensor& tensor : value.toTensorVector()) entered.push_back(call.enter(tensor, written, host, op));
      value = c10::List<at::Tensor>(entered);
    } else if (value.isOptionalTensorList()) {
      c10::List<std::optional<at::Tensor>> entered;
      for (const std::optional<at::Tensor>& tensor : value.toOptionalTensorVector())
        entered.push_back(tensor ? std::optional(call.enter(*tensor, written, host, op)) : tensor);
      value = std::move(entered);
    } else if (value.isDevice() && value.toDevice().type() == TYPE) {
      call.index = value.toDevice().has_index() ? value.toDevice().index() : current;
      value = c10::Device(c10::DeviceType::CPU);
    } else if (value.isGenerator()) {
      call.generator = value.toGenerator();
      value = c10::IValue();
    }
  }
  if (op.hasTag(at::Tag::nondeterministic_seeded)) {  // with the state of this device's generator in place of the CPU's
    auto cpu = at::detail::getDefaultCPUGenerator();
    auto own = call.generator.value_or(generator_of(call.index));
    std::lock_guard<std::mutex> lock(cpu.mutex());
    auto before = cpu.get_state();
    cpu.set_state(own.get_state());
    cpu.mutex().unlock();
    op.callBoxed(stack);
    cpu.mutex().lock();
    own.set_state(cpu.get_state());
    cpu.set_state(before);
  } else {
    op.callBoxed(stack);
  }
  auto results = schema.returns().size();
  for (size_t place = 0; place < results; ++place) {
    auto& value = (*stack)[stack->size() - results + place];
    if (value.isTensor()) {
      value = call.leave(value.toTensor());
    } else if (value.isTensorList()) {
      std::vector<at::Tensor> left;
      for (const at::Tensor& tensor : value.toTensorVector()) left.push_back(call.leave(tensor));
      value = c10::List<at::Tensor>(left);
    }
  }
  call.write_back();
}

at::Tensor empty(
    c10::IntArrayRef size, std::optional<at::ScalarType> dtype, std::optional<at::Layout>, std::optional<at::Device> device,
    std::optional<bool>, std::optional<at::MemoryFormat> format) {
  c10::DeviceGuard guard(device.value_or(c10::Device(TYPE, current)));
  return at::detail::empty_generic(
      size, &allocator, c10::DispatchKeySet(c10::DispatchKey::PrivateUse1), c10::dtype_or_default(dtype), format);
}

at::Tensor empty_strided(
    c10::IntArrayRef size, c10::IntArrayRef stride, std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
    std::optional<at::Device> device, std::optional<bool>) {
  c10::DeviceGuard guard(device.value_or(c10::Device(TYPE, current)));
  return at::detail::empty_strided_generic(
      size, stride, &allocator, c10::DispatchKeySet(c10::DispatchKey::PrivateUse1), c10::dtype_or_default(dtype));
}

at::Tensor host(const at::Tensor& tensor) { return tensor.device().type() == TYPE ? on_cpu(tensor) : tensor; }

at::Tensor copy_from(const at::Tensor& from, const at::Tensor& to, bool) {
  at::AutoDispatchBelowADInplaceOrView below;
  host(to).copy_(host(from));
  return to;
}

at::Tensor copy_from_and_resize(const at::Tensor& from, const at::Tensor& to) {
  to.resize_(from.sizes());
  return copy_from(from, to, false);
}

at::Scalar item(const at::Tensor& tensor) {
  at::AutoDispatchBelowADInplaceOrView below;
  return on_cpu(tensor).item();
}

int64_t attention_choice(
    const at::Tensor&, const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&, double, bool, std::optional<double>, bool) {
  return 0;  // plain operations
}

bool same_kind(const at::Tensor& one, const at::Tensor& other) {  // so that `tensor.data = tensor.to(device)` works, as on other vendors'
  return one.layout() == other.layout();
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) { m.fallback(torch::CppFunction::makeFromBoxedFunction<&compute>()); }

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("empty.memory_format", empty);
  m.impl("empty_strided", empty_strided);
  m.impl("as_strided", at::native::as_strided_tensorimpl);
  m.impl("_reshape_alias", at::native::_reshape_alias);
  m.impl("view", at::native::view);
  m.impl("unfold", at::native::unfold);
  m.impl("resize_", at::native::resize_);
  m.impl("set_.source_Storage_storage_offset", at::native::set_storage_cpu_);
  m.impl("set_.source_Storage", at::native::set_);
  m.impl("set_.source_Tensor", at::native::set_tensor_);
  m.impl("_copy_from", copy_from);
  m.impl("_copy_from_and_resize", copy_from_and_resize);
  m.impl("_local_scalar_dense", item);
  m.impl("_fused_sdp_choice", attention_choice);
  m.impl("_has_compatible_shallow_copy_type", same_kind);
}

TORCH_LIBRARY_IMPL(_, AutocastPrivateUse1, m) { m.fallback(torch::CppFunction::makeFallthrough()); }

TORCH_LIBRARY_IMPL(aten, AutocastPrivateUse1, m) {
  KERNEL_PRIVATEUSEONE(mm, lower_precision_fp)
  KERNEL_PRIVATEUSEONE(addmm, lower_precision_fp)
  KERNEL_PRIVATEUSEONE(bmm, lower_precision_fp)
  KERNEL_PRIVATEUSEONE(baddbmm, lower_precision_fp)
  KERNEL_PRIVATEUSEONE(matmul, lower_precision_fp)
  KERNEL_PRIVATEUSEONE(linear, lower_precision_fp)
  KERNEL_PRIVATEUSEONE(scaled_dot_product_attention, lower_precision_fp)
  KERNEL_PRIVATEUSEONE(nll_loss, fp32)
  KERNEL_PRIVATEUSEONE(layer_norm, fp32)
}

struct Register {
  Register() { at::RegisterPrivateUse1HooksInterface(new Hooks()); }
} registered;

}  // namespace

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  m.def("host", &host, "The tensor of the CPU with the same memory.");
  m.def("current", [] { return static_cast<int>(current); });
  m.def("select", [](int index) { Guard().setDevice({TYPE, static_cast<c10::DeviceIndex>(index)}); });
  m.def("allocated", [](int index) { return counts[index].now.load(); });
  m.def("peak", [](int index) { return counts[index].peak.load(); });
  m.def("reset_peak", [](int index) { counts[index].peak = counts[index].now.load(); });
  m.def("generator", [](int index) { return generator_of(static_cast<c10::DeviceIndex>(index)); });
}
