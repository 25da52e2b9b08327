#include "io/results/hdf5_call.h"

#include <sys/mman.h>

#include <cstdlib>
#include <new>
#include <string_view>

#include "io/files/durable.h"

namespace tovamill {

Hdf5Error::Hdf5Error(const std::string& function, const std::string& object,
                     const std::string& library_text)
    : Error(ExitCode::io, "HDF5: " + function + " of '" + object + "' failed: " + library_text) {}

namespace {

// HDF5 does not always say that an allocation failed; other failures do not come with memory at its
// end.
bool has_memory_left() {
  constexpr std::size_t kRoom = std::size_t{16} << 20;
  void* room = mmap(nullptr, kRoom, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (room == MAP_FAILED) return false;
  munmap(room, kRoom);
  return true;
}

}  // namespace

void fail_hdf5(const std::string& function, const std::string& object) {
  const std::string text = hdf5_error_text();
  if (!has_memory_left()) throw std::bad_alloc();
  throw Hdf5Error(function, object, text);
}

std::string hdf5_error_text() {
  std::string text;
  H5Ewalk2(
      H5E_DEFAULT, H5E_WALK_DOWNWARD,
      [](unsigned, const H5E_error2_t* e, void* out) -> herr_t {
        if (e->desc && *e->desc) *static_cast<std::string*>(out) = e->desc;
        return 0;
      },
      &text);
  H5Eclear2(H5E_DEFAULT);
  // A failed system call is told with addresses and times; what helps is its number.
  constexpr std::string_view kNumber = "errno = ";
  if (const std::size_t at = text.find(kNumber); at != std::string::npos)
    text = text.substr(0, text.find(':')) + ": " +
           why_io_failed(std::atoi(text.c_str() + at + kNumber.size()));
  return text.empty() ? "no reason given" : text;
}

// After a close that failed on a full disk, HDF5's
// own clean-up at exit reads memory it has freed; everything is closed by its owner, so it is left
// out.
void prepare_hdf5() {
  static const bool is_ready = H5dont_atexit() >= 0 && H5open() >= 0;
  if (!is_ready) fail_hdf5("H5open", "the library");
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);  // the error stack belongs to a thread
}

template <>
hid_t hdf5_type<float>() {
  return H5T_NATIVE_FLOAT;
}
template <>
hid_t hdf5_type<double>() {
  return H5T_NATIVE_DOUBLE;
}
template <>
hid_t hdf5_type<std::uint8_t>() {
  return H5T_NATIVE_UINT8;
}
template <>
hid_t hdf5_type<std::int32_t>() {
  return H5T_NATIVE_INT32;
}
template <>
hid_t hdf5_type<std::uint32_t>() {
  return H5T_NATIVE_UINT32;
}
template <>
hid_t hdf5_type<std::int64_t>() {
  return H5T_NATIVE_INT64;
}
template <>
hid_t hdf5_type<std::uint64_t>() {
  return H5T_NATIVE_UINT64;
}

Hdf5Id hdf5_string_type(std::size_t bytes, const std::string& object) {
  Hdf5Id type = own_type(H5Tcopy(H5T_C_S1), "H5Tcopy", object);
  check_hdf5(H5Tset_size(type.get(), bytes), "H5Tset_size", object);
  check_hdf5(H5Tset_cset(type.get(), H5T_CSET_UTF8), "H5Tset_cset", object);
  if (bytes != H5T_VARIABLE)
    check_hdf5(H5Tset_strpad(type.get(), H5T_STR_NULLPAD), "H5Tset_strpad", object);
  return type;
}

void set_text_attribute(hid_t object, const std::string& path, const std::string& name,
                        const std::string& value) {
  const Hdf5Id space = own_space(H5Screate(H5S_SCALAR), "H5Screate", path);
  const Hdf5Id type = hdf5_string_type(H5T_VARIABLE, path);
  const Hdf5Id attribute = own_attribute(
      H5Acreate2(object, name.c_str(), type.get(), space.get(), H5P_DEFAULT, H5P_DEFAULT),
      "H5Acreate2", path + "@" + name);
  const char* text = value.c_str();
  check_hdf5(H5Awrite(attribute.get(), type.get(), &text), "H5Awrite", path + "@" + name);
}

void describe_dataset(hid_t dataset, const std::string& path, const std::string& long_name,
                      const std::string& units) {
  set_text_attribute(dataset, path, "long_name", long_name);
  set_text_attribute(dataset, path, "units", units);
}

Hdf5Id open_dataset(std::int64_t file, const std::string& path) {
  return own_data(H5Dopen2(file, path.c_str(), H5P_DEFAULT), "H5Dopen2", path);
}

std::vector<std::uint64_t> shape_of(hid_t dataset, const std::string& path) {
  const Hdf5Id space = own_space(H5Dget_space(dataset), "H5Dget_space", path);
  const int rank =
      check_hdf5(H5Sget_simple_extent_ndims(space.get()), "H5Sget_simple_extent_ndims", path);
  std::vector<hsize_t> dims(static_cast<std::size_t>(rank));
  if (rank > 0)
    check_hdf5(H5Sget_simple_extent_dims(space.get(), dims.data(), nullptr),
               "H5Sget_simple_extent_dims", path);
  return {dims.begin(), dims.end()};
}

Hdf5Selection select_range(hid_t dataset, const std::string& path, std::uint64_t first,
                           std::uint64_t n) {
  const std::vector<std::uint64_t> shape = shape_of(dataset, path);
  if (shape.size() != 1)
    throw BadData("HDF5 dataset " + path +
                  " does not have one axis: the file is of another version");
  if (first > shape[0] || n > shape[0] - first)
    throw BadData("HDF5 dataset " + path +
                  " ends early: the file is damaged or of another version");
  const hsize_t start = first, count = n;
  Hdf5Selection s{own_space(H5Screate_simple(1, &count, nullptr), "H5Screate_simple", path),
                  own_space(H5Dget_space(dataset), "H5Dget_space", path)};
  check_hdf5(H5Sselect_hyperslab(s.file.get(), H5S_SELECT_SET, &start, nullptr, &count, nullptr),
             "H5Sselect_hyperslab", path);
  return s;
}

}  // namespace tovamill
