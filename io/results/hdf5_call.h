// What the files that call the HDF5 library share: errors, identifiers, types, selections. For
// these files only.
#pragma once

#include <hdf5.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "io/results/hdf5_file.h"

namespace tovamill {

// The innermost entry of HDF5's error stack: the cause. Clears the stack.
std::string hdf5_error_text();

// Throws Hdf5Error by that text; std::bad_alloc where there is no memory left.
[[noreturn]] void fail_hdf5(const std::string& function, const std::string& object);

// The result of a call, which must not be negative: throws Hdf5Error with the call and its object.
template <class Result>
Result check_hdf5(Result result, const char* function, const std::string& object) {
  if (result < 0) fail_hdf5(function, object);
  return result;
}

// Every entry into the library passes here first.
void prepare_hdf5();

template <herr_t (*kClose)(hid_t)>
int close_id(std::int64_t id) {
  return kClose(id);
}

// Each takes the result `id` of a call and owns it; throws as check_hdf5 does.
inline Hdf5Id own_space(hid_t id, const char* f, const std::string& o) {
  return {check_hdf5(id, f, o), close_id<H5Sclose>};
}
inline Hdf5Id own_type(hid_t id, const char* f, const std::string& o) {
  return {check_hdf5(id, f, o), close_id<H5Tclose>};
}
inline Hdf5Id own_list(hid_t id, const char* f, const std::string& o) {
  return {check_hdf5(id, f, o), close_id<H5Pclose>};
}
inline Hdf5Id own_data(hid_t id, const char* f, const std::string& o) {
  return {check_hdf5(id, f, o), close_id<H5Dclose>};
}
inline Hdf5Id own_object(hid_t id, const char* f, const std::string& o) {
  return {check_hdf5(id, f, o), close_id<H5Oclose>};
}
inline Hdf5Id own_attribute(hid_t id, const char* f, const std::string& o) {
  return {check_hdf5(id, f, o), close_id<H5Aclose>};
}

// HDF5's type of numbers in memory. T: as of Hdf5Appender.
template <class T>
hid_t hdf5_type();
template <>
hid_t hdf5_type<float>();
template <>
hid_t hdf5_type<double>();
template <>
hid_t hdf5_type<std::uint8_t>();
template <>
hid_t hdf5_type<std::int32_t>();
template <>
hid_t hdf5_type<std::uint32_t>();
template <>
hid_t hdf5_type<std::int64_t>();
template <>
hid_t hdf5_type<std::uint64_t>();

// UTF-8; H5T_VARIABLE or a number of bytes.
Hdf5Id hdf5_string_type(std::size_t bytes, const std::string& object);

void set_text_attribute(hid_t object, const std::string& path, const std::string& name,
                        const std::string& value);
// What people and xarray read beside the numbers.
void describe_dataset(hid_t dataset, const std::string& path, const std::string& long_name,
                      const std::string& units);

Hdf5Id open_dataset(std::int64_t file, const std::string& path);
std::vector<std::uint64_t> shape_of(hid_t dataset, const std::string& path);

struct Hdf5Selection {
  Hdf5Id memory, file;
};
// `n` entries from `first` of a dataset of one axis. Throws BadData where it has others or fewer.
Hdf5Selection select_range(hid_t dataset, const std::string& path, std::uint64_t first,
                           std::uint64_t n);

}  // namespace tovamill
