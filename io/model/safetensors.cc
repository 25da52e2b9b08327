#include "io/model/safetensors.h"

#include <simdjson.h>

#include <cstring>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/types/error.h"
#include "kernels/types/format.h"
#include "kernels/types/printable.h"

namespace tovamill {

namespace {

constexpr std::size_t kLengthBytes = 8;
constexpr std::size_t kMaxHeaderBytes = 100'000'000;  // the limit of the format's own library
constexpr std::size_t kMaxDepth = 16;                 // of the header's JSON; three are needed
constexpr std::size_t kMaxSafetensorsDimensions = 8;

struct Type {
  std::string_view name;
  std::int32_t n_bytes;
  std::optional<StorageType> storage;  // nullopt: a type of the format that is not supported
};

constexpr Type kSafetensorsTypes[] = {
    {"F32", 4, StorageType::f32},   {"F16", 2, StorageType::f16},
    {"BF16", 2, StorageType::bf16}, {"F64", 8, std::nullopt},
    {"I64", 8, StorageType::i64},   {"U64", 8, std::nullopt},
    {"I32", 4, StorageType::i32},   {"U32", 4, std::nullopt},
    {"I16", 2, std::nullopt},       {"U16", 2, std::nullopt},
    {"I8", 1, StorageType::i8},     {"U8", 1, StorageType::u8},
    {"BOOL", 1, std::nullopt},      {"F8_E4M3", 1, StorageType::f8_e4m3},
    {"F8_E5M2", 1, std::nullopt},   {"F8_E8M0", 1, StorageType::f8_e8m0},
    {"C64", 8, std::nullopt},
};

const Type* find_type(std::string_view name) {
  for (const Type& type : kSafetensorsTypes) {
    if (type.name == name) return &type;
  }
  return nullptr;
}

// One entry of the header, its syntax checked but not yet its numbers.
struct Entry {
  std::string name;
  std::string dtype;
  std::vector<std::int64_t> shape;
  std::size_t begin = 0;
  std::size_t end = 0;
};

class SafetensorsReader {
 public:
  SafetensorsReader(const MappedFile& file, TensorTable& table) : file_(file), table_(table) {}

  std::span<const std::byte> read() {
    const std::size_t header_bytes = header_length();
    const auto bytes = file_.bytes();
    data_ = bytes.subspan(kLengthBytes + header_bytes);
    simdjson::dom::parser parser(kMaxHeaderBytes);
    simdjson::dom::element root;
    auto error = parser.allocate(header_bytes, kMaxDepth);
    if (!error) {
      error = parser.parse(reinterpret_cast<const char*>(bytes.data()) + kLengthBytes, header_bytes)
                  .get(root);
    }
    if (error) fail(std::string("the header is not valid JSON: ") + simdjson::error_message(error));
    simdjson::dom::object entries;
    if (root.get(entries)) fail("the header is not a JSON object");
    for (const auto& [key, value] : entries) {
      if (key != "__metadata__") add(parse_entry(key, value));
    }
    refuse_overlaps(std::move(extents_), file_.path());
    return bytes.first(kLengthBytes + header_bytes);
  }

 private:
  [[noreturn]] void fail(const std::string& problem) const {
    throw BadData(file_.path() + ": " + problem);
  }
  [[noreturn]] void fail(const std::string& tensor, const std::string& problem) const {
    fail("tensor " + printable(tensor) + ": " + problem);
  }

  std::size_t header_length() const {
    const auto bytes = file_.bytes();
    if (bytes.size() < kLengthBytes) {
      fail("has " + with_thousands(bytes.size()) +
           " bytes, too few for a safetensors file: it is truncated");
    }
    std::uint64_t length = 0;
    std::memcpy(&length, bytes.data(), kLengthBytes);
    if (length > kMaxHeaderBytes) {
      fail("claims a header of " + with_thousands(length) + " bytes, over the limit of " +
           with_thousands(kMaxHeaderBytes) + ": it is broken or not a safetensors file");
    }
    if (length > bytes.size() - kLengthBytes) {
      fail("claims a header of " + with_thousands(length) + " bytes but has " +
           with_thousands(bytes.size()) + " in all: it is truncated");
    }
    return static_cast<std::size_t>(length);
  }

  Entry parse_entry(std::string_view key, simdjson::dom::element value) const {
    Entry entry;
    entry.name = key;
    simdjson::dom::object fields;
    if (value.get(fields)) fail(entry.name, "its entry is not an object");
    bool has_dtype = false, has_shape = false, has_offsets = false;
    const auto once = [&](bool& seen, std::string_view field) {
      if (std::exchange(seen, true)) fail(entry.name, std::string(field) + " is there twice");
    };
    for (const auto& [field, content] : fields) {
      if (field == "dtype") {
        once(has_dtype, field);
        std::string_view name;
        if (content.get(name)) fail(entry.name, "dtype is not a string");
        entry.dtype = name;
      } else if (field == "shape") {
        once(has_shape, field);
        for (const std::uint64_t n :
             numbers(entry.name, field, content, kMaxSafetensorsDimensions)) {
          entry.shape.push_back(static_cast<std::int64_t>(n));
        }
      } else if (field == "data_offsets") {
        once(has_offsets, field);
        const auto offsets = numbers(entry.name, field, content, 2);
        if (offsets.size() != 2) fail(entry.name, "data_offsets is not a pair");
        entry.begin = offsets[0];
        entry.end = offsets[1];
      }
    }
    if (!has_dtype) fail(entry.name, "dtype is missing");
    if (!has_shape) fail(entry.name, "shape is missing");
    if (!has_offsets) fail(entry.name, "data_offsets is missing");
    return entry;
  }

  // Non-negative integers that fit an int64, at most `max_count` of them.
  std::vector<std::uint64_t> numbers(const std::string& tensor, std::string_view field,
                                     simdjson::dom::element value, std::size_t max_count) const {
    simdjson::dom::array array;
    if (value.get(array)) fail(tensor, std::string(field) + " is not an array");
    std::vector<std::uint64_t> result;
    for (const simdjson::dom::element element : array) {
      std::int64_t number = 0;
      if (element.get(number) || number < 0) {
        fail(tensor, std::string(field) + " holds something other than an integer of 0 or more");
      }
      if (result.size() == max_count) fail(tensor, std::string(field) + " has too many entries");
      result.push_back(static_cast<std::uint64_t>(number));
    }
    return result;
  }

  void add(Entry entry) {
    if (entry.begin > entry.end || entry.end > data_.size()) {
      fail(entry.name, "data bytes " + std::to_string(entry.begin) + " to " +
                           std::to_string(entry.end) + " are not within the " +
                           with_thousands(data_.size()) +
                           " bytes that the file holds: it is truncated or broken");
    }
    extents_.push_back({entry.begin, entry.end, entry.name});
    const Type* type = find_type(entry.dtype);
    if (type == nullptr) {
      table_.add_unsupported(entry.name, printable(entry.dtype), file_.path());
      return;
    }
    const std::size_t found = entry.end - entry.begin;
    const auto wanted = checked_n_bytes(entry.shape, {type->name, 1, type->n_bytes});
    if (!wanted) fail(entry.name, "its shape is too large");
    if (static_cast<std::size_t>(*wanted) != found) {
      fail(entry.name, "has " + with_thousands(found) + " bytes where its shape and " +
                           std::string(type->name) + " need " + with_thousands(*wanted));
    }
    if (!type->storage) {
      table_.add_unsupported(entry.name, std::string(type->name), file_.path());
      return;
    }
    const std::byte* begin = data_.data() + entry.begin;
    table_.add({std::move(entry.name), *type->storage, std::move(entry.shape), begin, found},
               file_.path());
  }

  const MappedFile& file_;
  TensorTable& table_;
  std::span<const std::byte> data_;
  std::vector<TensorExtent> extents_;
};

}  // namespace

std::span<const std::byte> read_safetensors(const MappedFile& file, TensorTable& table) {
  return SafetensorsReader(file, table).read();
}

}  // namespace tovamill
