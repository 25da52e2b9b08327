#include "io/results/hdf5_file.h"

#include <fcntl.h>
#include <hdf5.h>
#include <hdf5_hl.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>

#include "io/files/durable.h"
#include "io/files/file_descriptor.h"
#include "io/results/hdf5_call.h"

namespace tovamill {
namespace {

// A limit of open files is no fault of the file, which the library cannot tell.
void check_openable(const std::string& path) {
  const FileDescriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0 && code_of_failure(errno, ExitCode::done) == ExitCode::io)
    throw Error(ExitCode::io, "cannot open '" + path + "': " + why_io_failed(errno));
}

std::string last_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

}  // namespace

Hdf5File::Hdf5File(const std::string& path, Mode mode) : path_(path) {
  prepare_hdf5();
  const Hdf5Id access = own_list(H5Pcreate(H5P_FILE_ACCESS), "H5Pcreate", path);
  check_hdf5(H5Pset_fclose_degree(access.get(), H5F_CLOSE_STRONG), "H5Pset_fclose_degree", path);
  if (mode == Mode::create) {
    const Hdf5Id creation = own_list(H5Pcreate(H5P_FILE_CREATE), "H5Pcreate", path);
    check_hdf5(H5Pset_obj_track_times(creation.get(), false), "H5Pset_obj_track_times", path);
    const hid_t id = H5Fcreate(path.c_str(), H5F_ACC_TRUNC, creation.get(), access.get());
    if (id < 0)
      throw Error(code_of_failure(errno, ExitCode::cannot_create),
                  "cannot create '" + path + "': " + hdf5_error_text());
    file_ = {id, close_id<H5Fclose>};
    id_ = id;
    return;
  }
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored))
    throw Error(ExitCode::no_input, "the file '" + path + "' does not exist");
  check_openable(path);
  const hid_t id =
      H5Fopen(path.c_str(), mode == Mode::edit ? H5F_ACC_RDWR : H5F_ACC_RDONLY, access.get());
  if (id < 0) throw BadData("'" + path + "' cannot be read as an HDF5 file: " + hdf5_error_text());
  file_ = {id, close_id<H5Fclose>};
  id_ = id;
}

Hdf5File::Hdf5File(const Hdf5File& file, const std::string& group)
    : path_(file.path_), group_(file.in_file(group)), id_(file.id_) {}

void Hdf5File::close() {
  check_hdf5(H5Fflush(file_.get(), H5F_SCOPE_LOCAL), "H5Fflush", path_);
  check_hdf5(H5Fclose(file_.release()), "H5Fclose", path_);
}

void Hdf5File::create_group(const std::string& name) {
  const std::string path = in_file(name);
  const Hdf5Id list = own_list(H5Pcreate(H5P_GROUP_CREATE), "H5Pcreate", path);
  check_hdf5(H5Pset_obj_track_times(list.get(), false), "H5Pset_obj_track_times", path);
  const Hdf5Id group = own_object(
      H5Gcreate2(id(), path.c_str(), H5P_DEFAULT, list.get(), H5P_DEFAULT), "H5Gcreate2", path);
}

void Hdf5File::set_attribute(const std::string& of, const std::string& name,
                             const Hdf5Value& value) {
  const std::string object = in_file(of);
  const Hdf5Id to = own_object(H5Oopen(id(), object.c_str(), H5P_DEFAULT), "H5Oopen", object);
  if (check_hdf5(H5Aexists(to.get(), name.c_str()), "H5Aexists", object + "@" + name) > 0)
    check_hdf5(H5Adelete(to.get(), name.c_str()), "H5Adelete", object + "@" + name);
  if (const auto* text = std::get_if<std::string>(&value))
    return set_text_attribute(to.get(), object, name, *text);
  const bool is_integer = std::holds_alternative<std::int64_t>(value);
  const hid_t type = is_integer ? H5T_NATIVE_INT64 : H5T_NATIVE_DOUBLE;
  const void* bytes = is_integer ? static_cast<const void*>(std::get_if<std::int64_t>(&value))
                                 : std::get_if<double>(&value);
  const Hdf5Id space = own_space(H5Screate(H5S_SCALAR), "H5Screate", object);
  const Hdf5Id attribute =
      own_attribute(H5Acreate2(to.get(), name.c_str(), type, space.get(), H5P_DEFAULT, H5P_DEFAULT),
                    "H5Acreate2", object + "@" + name);
  check_hdf5(H5Awrite(attribute.get(), type, bytes), "H5Awrite", object + "@" + name);
}

void Hdf5File::create_dimension(const std::string& dimension, std::uint64_t size,
                                const std::string& long_name) {
  const std::string path = in_file(dimension);
  const hsize_t dims = size;
  const Hdf5Id space = own_space(H5Screate_simple(1, &dims, nullptr), "H5Screate_simple", path);
  const Hdf5Id list = own_list(H5Pcreate(H5P_DATASET_CREATE), "H5Pcreate", path);
  check_hdf5(H5Pset_obj_track_times(list.get(), false), "H5Pset_obj_track_times", path);
  const Hdf5Id dataset = own_data(H5Dcreate2(id(), path.c_str(), H5T_IEEE_F32BE, space.get(),
                                             H5P_DEFAULT, list.get(), H5P_DEFAULT),
                                  "H5Dcreate2", path);
  char name[80];  // netCDF-4's own words
  std::snprintf(name, sizeof name, "This is a netCDF dimension but not a netCDF variable.%10llu",
                static_cast<unsigned long long>(size));
  check_hdf5(H5DSset_scale(dataset.get(), name), "H5DSset_scale", path);
  describe_dataset(dataset.get(), path, long_name, "1");
}

template <class T>
void Hdf5File::create_scale(const std::string& scale, std::span<const T> values,
                            const std::string& long_name, const std::string& units) {
  Hdf5Appender<T> appender(
      *this, scale,
      {.long_name = long_name, .units = units, .scales = {}, .expected = values.size()});
  appender.append(values);
  appender.finish();
  const std::string path = in_file(scale);
  const Hdf5Id dataset = open_dataset(id(), path);
  check_hdf5(H5DSset_scale(dataset.get(), last_name(path).c_str()), "H5DSset_scale", path);
}

template void Hdf5File::create_scale(const std::string&, std::span<const std::int32_t>,
                                     const std::string&, const std::string&);
template void Hdf5File::create_scale(const std::string&, std::span<const std::uint64_t>,
                                     const std::string&, const std::string&);

template <class T>
void Hdf5File::overwrite(const std::string& name, std::uint64_t first, std::span<const T> values) {
  const std::string path = in_file(name);
  const Hdf5Id dataset = open_dataset(id(), path);
  const Hdf5Selection s = select_range(dataset.get(), path, first, values.size());
  if (values.empty()) return;
  check_hdf5(H5Dwrite(dataset.get(), hdf5_type<T>(), s.memory.get(), s.file.get(), H5P_DEFAULT,
                      values.data()),
             "H5Dwrite", path);
}

template void Hdf5File::overwrite(const std::string&, std::uint64_t, std::span<const double>);
template void Hdf5File::overwrite(const std::string&, std::uint64_t,
                                  std::span<const std::uint32_t>);
template void Hdf5File::overwrite(const std::string&, std::uint64_t,
                                  std::span<const std::uint64_t>);

void Hdf5File::remove(const std::string& name) {
  const std::string path = in_file(name);
  check_hdf5(H5Ldelete(id(), path.c_str(), H5P_DEFAULT), "H5Ldelete", path);
}

}  // namespace tovamill
