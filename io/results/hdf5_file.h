// HDF5 files through the C library: written once from front to back, read in ranges. Equal calls
// give byte-identical files (no object times), readable with built-in filters alone.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "kernels/types/error.h"

namespace tovamill {

// A failed call of the HDF5 library: what was attempted on which object, the function, and HDF5's
// own words.
class Hdf5Error : public Error {
 public:
  Hdf5Error(const std::string& function, const std::string& object,
            const std::string& library_text);
};

// An HDF5 identifier, closed at the end of its scope.
class Hdf5Id {
 public:
  using Close = int (*)(std::int64_t);
  Hdf5Id() = default;
  Hdf5Id(std::int64_t id, Close close) : id_(id), close_(close) {}
  Hdf5Id(Hdf5Id&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  Hdf5Id& operator=(Hdf5Id&& other) noexcept {
    std::swap(id_, other.id_);
    std::swap(close_, other.close_);
    return *this;
  }
  ~Hdf5Id() {
    if (id_ >= 0) close_(id_);
  }
  std::int64_t get() const { return id_; }
  std::int64_t release() { return std::exchange(id_, -1); }

 private:
  std::int64_t id_ = -1;
  Close close_ = nullptr;
};

using Hdf5Value = std::variant<std::int64_t, double, std::string>;

// What a reader sees beside the numbers, and how the dataset is laid out.
struct Hdf5DatasetOptions {
  std::string long_name;
  std::string units = "1";
  std::vector<std::string> scales;  // path of the dimension scale of each axis; "" for none
  std::uint64_t expected =
      0;  // entries along the growing axis, if known: bounds the chunks of small datasets
};

class Hdf5File;

// A dataset that grows along its last axis: [n] or [n_rows, n]. Holds back less than a chunk of
// columns until `finish`. T: float, double, std::int32_t, std::uint32_t, std::int64_t,
// std::uint64_t, std::uint8_t.
template <class T>
class Hdf5Appender {
 public:
  // n_rows 0: one axis.
  Hdf5Appender(const Hdf5File& file, const std::string& path, const Hdf5DatasetOptions& options,
               std::uint64_t n_rows = 0);
  // (n_rows, n) values, row by row; the number of values must be a multiple of the rows.
  void append(std::span<const T> values);
  void append(T value) { append(std::span<const T>(&value, 1)); }
  // Writes what is held back, attaches the scales and closes the dataset. To be called once, at the
  // end.
  void finish();
  std::uint64_t n_columns() const { return n_written_ + n_held_; }

 private:
  void write_held();

  std::string path_;
  std::int64_t file_id_ = -1;  // the file outlives its appenders
  Hdf5Id dataset_;
  Hdf5DatasetOptions options_;
  std::uint64_t n_rows_ = 1;
  bool two_axes_ = false;
  std::uint64_t chunk_ = 1;      // columns
  std::vector<T> held_;          // (n_rows, chunk)
  std::uint64_t n_held_ = 0;     // columns
  std::uint64_t n_written_ = 0;  // columns
};

// Strings along one axis: of fixed length (UTF-8, padded by NUL, compressed) up to
// kLongestFixedString bytes, else of variable length (not compressed, 16 bytes and more each; such
// a string ends at its first NUL). Holds back less than a chunk, of long strings less than some
// MiB.
class Hdf5StringAppender {
 public:
  static constexpr std::size_t kLongestFixedString = 512;
  Hdf5StringAppender(const Hdf5File& file, const std::string& path,
                     const Hdf5DatasetOptions& options, std::size_t longest_bytes);
  void append(std::string_view value);  // no longer than longest_bytes
  void finish();

 private:
  void write_held();

  std::string path_;
  std::int64_t file_id_ = -1;
  Hdf5Id dataset_, type_;
  Hdf5DatasetOptions options_;
  std::size_t fixed_bytes_ = 0;  // 0: variable length
  std::uint64_t chunk_ = 1;
  std::vector<std::string> held_;
  std::size_t n_held_bytes_ = 0;
  std::uint64_t n_written_ = 0;
};

struct Hdf5Object {
  std::string name;
  bool is_group = false;
};

class Hdf5File {
 public:
  enum class Mode { create, read, edit };
  // `create` replaces a file that is there; `edit` changes one, which must be a copy: a death in
  // the middle leaves it broken. Throws Error(cannot_create), Error(no_input), BadData if it is no
  // HDF5 file.
  Hdf5File(const std::string& path, Mode mode);
  // The same file, of which all paths lie in `group`; it must not outlive `file`, nor is it closed.
  Hdf5File(const Hdf5File& file, const std::string& group);
  // Writes everything that is held back; a destructor cannot say that it failed.
  void close();
  std::int64_t id() const { return id_; }
  // Where a path of this object lies in the file.
  std::string in_file(const std::string& path) const {
    return group_.empty() || path.empty() ? path : path == "/" ? group_ : group_ + path;
  }

  // ---- writing ----
  void create_group(const std::string& path);
  // An attribute of a group or dataset, in the place of one of that name. Strings are UTF-8 of
  // variable length: h5py gives `str`.
  void set_attribute(const std::string& object, const std::string& name, const Hdf5Value& value);
  // A dimension without values of its own, as netCDF-4 marks one: takes no room.
  void create_dimension(const std::string& path, std::uint64_t size, const std::string& long_name);
  // A dimension with a coordinate: a small dataset written at once.
  template <class T>
  void create_scale(const std::string& path, std::span<const T> values,
                    const std::string& long_name, const std::string& units = "1");

  // ---- editing ----
  // Values in the place of those from `first` of a dataset of one axis, which keeps its type and
  // its length. Throws BadData where it is shorter. T: double, std::uint32_t, std::uint64_t.
  template <class T>
  void overwrite(const std::string& dataset, std::uint64_t first, std::span<const T> values);
  // A group with all in it, or a dataset.
  void remove(const std::string& path);

  // ---- reading ----
  bool exists(const std::string& path) const;
  std::vector<Hdf5Object> list(const std::string& group) const;  // by name
  // By name; arrays and references (those of the dimension scales) are left out.
  std::vector<std::pair<std::string, Hdf5Value>> attributes(const std::string& object) const;
  std::vector<std::uint64_t> shape(const std::string& dataset) const;
  std::string type_name(const std::string& dataset) const;  // "float64", "string", ...
  // `n` values from `first` of a dataset of one axis, converted; all of them row by row with
  // `read_all`.
  template <class T>
  std::vector<T> read(const std::string& dataset, std::uint64_t first, std::uint64_t n) const;
  template <class T>
  std::vector<T> read_all(const std::string& dataset) const;
  std::vector<std::string> read_strings(const std::string& dataset, std::uint64_t first,
                                        std::uint64_t n) const;

 private:
  std::string path_;
  std::string group_;  // "" or "/sweep/tova"
  Hdf5Id file_;        // none of a part of another
  std::int64_t id_ = -1;
};

}  // namespace tovamill
