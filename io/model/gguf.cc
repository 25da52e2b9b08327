#include "io/model/gguf.h"

#include <array>
#include <bit>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/model/byte_cursor.h"
#include "io/model/gguf_types.h"
#include "kernels/types/error.h"
#include "kernels/types/format.h"
#include "kernels/types/printable.h"

namespace tovamill {

namespace {

// Limits on what a header may make us allocate; the largest known models have 300,000 tokens and
// merges, and a few thousand tensors.
constexpr std::uint64_t kMaxValues = 1u << 24;  // metadata values in all, array elements included
constexpr std::uint64_t kMaxTensors = 1u << 20;
constexpr std::size_t kMaxNameBytes = 65'535;  // of a metadata key, by the format
constexpr int kMaxArrayDepth = 4;
constexpr std::uint32_t kMaxGgufDimensions = 4;
constexpr std::uint64_t kDefaultAlignment = 32;
constexpr std::size_t kMinValueBytes = 8 + 4 + 1;           // empty key, type, one byte
constexpr std::size_t kMinTensorBytes = 8 + 4 + 8 + 4 + 8;  // empty name, one dimension

// An entry of the list of tensors, before the offset of the data is known.
struct TensorInfo {
  std::string name;
  std::vector<std::int64_t> shape;  // outermost first
  std::uint32_t type = 0;
  std::uint64_t offset = 0;
};

class GgufReader {
 public:
  GgufReader(const MappedFile& file, TensorTable& table) : file_(file), table_(table), in_(file) {}

  GgufContents read() {
    read_magic();
    const auto n_tensors = in_.read_count("the number of tensors", kMinTensorBytes, kMaxTensors);
    const auto n_values =
        in_.read_count("the number of metadata values", kMinValueBytes, kMaxValues);
    GgufContents contents;
    contents.metadata = nlohmann::json::object();
    for (std::uint64_t i = 0; i < n_values; ++i) read_pair(contents.metadata);
    const std::uint64_t alignment = alignment_of(contents.metadata);
    std::vector<TensorInfo> infos;
    for (std::uint64_t i = 0; i < n_tensors; ++i) infos.push_back(read_tensor_info(alignment));
    contents.header = file_.bytes().first(in_.position());
    if (!infos.empty()) add_tensors(std::move(infos), alignment);
    return contents;
  }

 private:
  [[noreturn]] void fail(const std::string& problem) const {
    throw BadData(file_.path() + ": " + problem);
  }

  void read_magic() {
    const auto magic = in_.read<std::array<char, 4>>("the first four bytes");
    const std::string_view text(magic.data(), magic.size());
    if (text == "lmgg" || text == "tjgg" || text == "algg" || text == "fmgg") {
      fail("is in a ggml format older than GGUF: convert the model to GGUF version 3");
    }
    if (text != "GGUF") fail("does not start with 'GGUF': it is not a GGUF file");
    const auto version = in_.read<std::uint32_t>("the version");
    if (version != 0 && (version & 0xFFFFu) == 0) {
      fail("is in big-endian byte order, which is not supported: convert it to little-endian");
    }
    if (version != 2 && version != 3) {
      fail("is GGUF version " + std::to_string(version) +
           ", which is not supported: convert the model to version 3");
    }
  }

  void read_pair(nlohmann::json& metadata) {
    const std::string key(in_.read_string("a metadata key"));
    if (key.size() > kMaxNameBytes) in_.fail("a metadata key is too long");
    if (metadata.contains(key)) in_.fail("the metadata key " + printable(key) + " is there twice");
    const auto type = in_.read<GgufValueType>("the type of a metadata value");
    if (min_bytes(type) == 0) {
      in_.fail("the metadata value " + printable(key) + " has the unknown type " +
               std::to_string(static_cast<std::uint32_t>(type)));
    }
    metadata[key] = read_value(type, "the metadata value " + printable(key), 0);
  }

  nlohmann::json read_value(GgufValueType type, const std::string& what, int depth) {
    if (++n_values_read_ > kMaxValues) in_.fail("the metadata holds too many values");
    switch (type) {
      case GgufValueType::u8:
        return in_.read<std::uint8_t>(what);
      case GgufValueType::i8:
        return in_.read<std::int8_t>(what);
      case GgufValueType::u16:
        return in_.read<std::uint16_t>(what);
      case GgufValueType::i16:
        return in_.read<std::int16_t>(what);
      case GgufValueType::u32:
        return in_.read<std::uint32_t>(what);
      case GgufValueType::i32:
        return in_.read<std::int32_t>(what);
      case GgufValueType::u64:
        return in_.read<std::uint64_t>(what);
      case GgufValueType::i64:
        return in_.read<std::int64_t>(what);
      case GgufValueType::f32:
        return in_.read<float>(what);
      case GgufValueType::f64:
        return in_.read<double>(what);
      case GgufValueType::boolean: {
        const auto value = in_.read<std::uint8_t>(what);
        if (value > 1) in_.fail(what + " is neither true nor false");
        return value == 1;
      }
      case GgufValueType::string:
        return std::string(in_.read_string(what));
      case GgufValueType::array:
        return read_array(what, depth + 1);
    }
    in_.fail(what + " has an unknown type");
  }

  nlohmann::json read_array(const std::string& what, int depth) {
    if (depth > kMaxArrayDepth) in_.fail(what + " nests arrays too deeply");
    const auto type = in_.read<GgufValueType>(what);
    const std::size_t element_bytes = min_bytes(type);
    if (element_bytes == 0) in_.fail(what + " is an array of an unknown type");
    const auto count = in_.read_count("the length of " + what, element_bytes, kMaxValues);
    nlohmann::json::array_t elements;
    elements.reserve(static_cast<std::size_t>(count));
    for (std::uint64_t i = 0; i < count; ++i) elements.push_back(read_value(type, what, depth));
    return elements;
  }

  std::uint64_t alignment_of(const nlohmann::json& metadata) const {
    const auto value = metadata.find("general.alignment");
    if (value == metadata.end()) return kDefaultAlignment;
    const bool fits = value->is_number_unsigned() && value->get<std::uint64_t>() <= (1u << 30) &&
                      std::has_single_bit(value->get<std::uint64_t>());
    if (!fits) fail("general.alignment is not a power of two up to 2^30");
    return value->get<std::uint64_t>();
  }

  TensorInfo read_tensor_info(std::uint64_t alignment) {
    TensorInfo info;
    info.name = in_.read_string("the name of a tensor");
    if (info.name.size() > kMaxNameBytes) in_.fail("the name of a tensor is too long");
    const std::string what = "tensor " + printable(info.name);
    const auto n_dims = in_.read<std::uint32_t>(what);
    if (n_dims < 1 || n_dims > kMaxGgufDimensions) {
      in_.fail(what + " has " + std::to_string(n_dims) + " dimensions, not 1 to 4");
    }
    for (std::uint32_t i = 0; i < n_dims; ++i) {
      const auto n = in_.read<std::uint64_t>(what);
      if (n == 0 || n > std::numeric_limits<std::int64_t>::max()) {
        in_.fail(what + " has a dimension of " + std::to_string(n));
      }
      info.shape.insert(info.shape.begin(), static_cast<std::int64_t>(n));
    }
    info.type = in_.read<std::uint32_t>(what);
    info.offset = in_.read<std::uint64_t>(what);
    if (info.offset % alignment != 0) {
      in_.fail(what + " starts at data byte " + std::to_string(info.offset) +
               ", not a multiple of the alignment " + std::to_string(alignment));
    }
    return info;
  }

  void add_tensors(std::vector<TensorInfo> infos, std::uint64_t alignment) {
    const std::size_t header_bytes = in_.position();
    const std::size_t data_start =
        (header_bytes + alignment - 1) & ~static_cast<std::size_t>(alignment - 1);
    const std::size_t file_bytes = file_.bytes().size();
    if (data_start > file_bytes) fail("ends before the data of its tensors: it is truncated");
    const auto data = file_.bytes().subspan(data_start);
    std::vector<TensorExtent> extents;
    for (TensorInfo& info : infos) {
      const std::string what = "tensor " + printable(info.name);
      if (info.offset > data.size()) {
        fail(what + ": its data start at data byte " + std::to_string(info.offset) +
             ", beyond the end of the file: it is truncated or broken");
      }
      const auto storage = storage_from_ggml(info.type);
      if (!storage) {
        table_.add_unsupported(info.name, ggml_type_name(info.type), file_.path());
        continue;
      }
      const std::size_t n_bytes = tensor_bytes(info, *storage, what);
      if (n_bytes > data.size() - info.offset) {
        fail(what + ": needs " + with_thousands(n_bytes) + " bytes from data byte " +
             std::to_string(info.offset) + " on, but the file ends after " +
             with_thousands(data.size() - info.offset) + ": it is truncated or broken");
      }
      const auto offset = static_cast<std::size_t>(info.offset);
      extents.push_back({offset, offset + n_bytes, info.name});
      table_.add(
          {std::move(info.name), *storage, std::move(info.shape), data.data() + offset, n_bytes},
          file_.path());
    }
    refuse_overlaps(std::move(extents), file_.path());
  }

  std::size_t tensor_bytes(const TensorInfo& info, StorageType storage,
                           const std::string& what) const {
    const BlockFormat format = block_format(storage);
    if (info.shape.back() % format.n_elements != 0) {
      fail(what + ": has rows of " + std::to_string(info.shape.back()) +
           " elements, not a multiple of the " + std::to_string(format.n_elements) +
           " in a block of " + std::string(format.name));
    }
    const auto n_bytes = checked_n_bytes(info.shape, format);
    if (!n_bytes) fail(what + ": its shape is too large");
    return static_cast<std::size_t>(*n_bytes);
  }

  const MappedFile& file_;
  TensorTable& table_;
  ByteCursor in_;
  std::uint64_t n_values_read_ = 0;
};

}  // namespace

GgufContents read_gguf(const MappedFile& file, TensorTable& table) {
  return GgufReader(file, table).read();
}

}  // namespace tovamill
