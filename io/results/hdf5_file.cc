#include "io/results/hdf5_file.h"

#include <hdf5.h>
#include <hdf5_hl.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <numeric>

#include "io/files/durable.h"

namespace tovamill {
namespace {

constexpr std::size_t kChunkBytes = 128u << 10;   // before compression
constexpr std::size_t kMostHeldBytes = 4u << 20;  // of strings of variable length
constexpr unsigned kGzipLevel = 4;                // measured: 6 is twice as slow for a tenth less

// ---- errors ----

// The innermost entry of HDF5's error stack: the cause.
std::string library_text() {
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

template <class Result>
Result check(Result result, const char* function, const std::string& object) {
  if (result < 0) throw Hdf5Error(function, object, library_text());
  return result;
}

// Every entry into the library passes here first. After a close that failed on a full disk, HDF5's
// own clean-up at exit reads memory it has freed; everything is closed by its owner, so it is left
// out.
void prepare_library() {
  static const bool is_ready = H5dont_atexit() >= 0 && H5open() >= 0;
  if (!is_ready) throw Hdf5Error("H5open", "the library", library_text());
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);  // the error stack belongs to a thread
}

template <herr_t (*kClose)(hid_t)>
int close_id(std::int64_t id) {
  return kClose(id);
}

Hdf5Id own_space(hid_t id, const char* f, const std::string& o) {
  return {check(id, f, o), close_id<H5Sclose>};
}
Hdf5Id own_type(hid_t id, const char* f, const std::string& o) {
  return {check(id, f, o), close_id<H5Tclose>};
}
Hdf5Id own_list(hid_t id, const char* f, const std::string& o) {
  return {check(id, f, o), close_id<H5Pclose>};
}
Hdf5Id own_data(hid_t id, const char* f, const std::string& o) {
  return {check(id, f, o), close_id<H5Dclose>};
}
Hdf5Id own_object(hid_t id, const char* f, const std::string& o) {
  return {check(id, f, o), close_id<H5Oclose>};
}
Hdf5Id own_attribute(hid_t id, const char* f, const std::string& o) {
  return {check(id, f, o), close_id<H5Aclose>};
}

// ---- types ----

template <class T>
hid_t type_of();
template <>
hid_t type_of<float>() {
  return H5T_NATIVE_FLOAT;
}
template <>
hid_t type_of<double>() {
  return H5T_NATIVE_DOUBLE;
}
template <>
hid_t type_of<std::uint8_t>() {
  return H5T_NATIVE_UINT8;
}
template <>
hid_t type_of<std::int32_t>() {
  return H5T_NATIVE_INT32;
}
template <>
hid_t type_of<std::uint32_t>() {
  return H5T_NATIVE_UINT32;
}
template <>
hid_t type_of<std::int64_t>() {
  return H5T_NATIVE_INT64;
}
template <>
hid_t type_of<std::uint64_t>() {
  return H5T_NATIVE_UINT64;
}

// UTF-8; H5T_VARIABLE or a number of bytes.
Hdf5Id string_type(std::size_t bytes, const std::string& object) {
  Hdf5Id type = own_type(H5Tcopy(H5T_C_S1), "H5Tcopy", object);
  check(H5Tset_size(type.get(), bytes), "H5Tset_size", object);
  check(H5Tset_cset(type.get(), H5T_CSET_UTF8), "H5Tset_cset", object);
  if (bytes != H5T_VARIABLE)
    check(H5Tset_strpad(type.get(), H5T_STR_NULLPAD), "H5Tset_strpad", object);
  return type;
}

// ---- datasets ----

struct Layout {
  bool two_axes = false;
  hsize_t n_rows = 1, chunk = 1;
};

// Columns of a chunk: about kChunkBytes, not more than will come.
std::uint64_t chunk_columns(std::size_t item_bytes, std::uint64_t expected) {
  const std::uint64_t n = std::max<std::uint64_t>(1, kChunkBytes / item_bytes);
  return expected > 0 ? std::min(n, expected) : n;
}

void set_text_attribute(hid_t object, const std::string& path, const std::string& name,
                        const std::string& value) {
  const Hdf5Id space = own_space(H5Screate(H5S_SCALAR), "H5Screate", path);
  const Hdf5Id type = string_type(H5T_VARIABLE, path);
  const Hdf5Id attribute = own_attribute(
      H5Acreate2(object, name.c_str(), type.get(), space.get(), H5P_DEFAULT, H5P_DEFAULT),
      "H5Acreate2", path + "@" + name);
  const char* text = value.c_str();
  check(H5Awrite(attribute.get(), type.get(), &text), "H5Awrite", path + "@" + name);
}

void describe(hid_t dataset, const std::string& path, const std::string& long_name,
              const std::string& units) {
  set_text_attribute(dataset, path, "long_name", long_name);
  set_text_attribute(dataset, path, "units", units);
}

Hdf5Id create_chunked(hid_t file, const std::string& path, hid_t type, const Layout& layout) {
  const hsize_t dims[2] = {layout.two_axes ? layout.n_rows : 0, 0};
  const hsize_t limits[2] = {layout.two_axes ? layout.n_rows : H5S_UNLIMITED, H5S_UNLIMITED};
  const hsize_t chunk[2] = {layout.two_axes ? 1 : layout.chunk, layout.chunk};
  const int rank = layout.two_axes ? 2 : 1;
  const Hdf5Id space = own_space(H5Screate_simple(rank, dims, limits), "H5Screate_simple", path);
  const Hdf5Id list = own_list(H5Pcreate(H5P_DATASET_CREATE), "H5Pcreate", path);
  check(H5Pset_obj_track_times(list.get(), false), "H5Pset_obj_track_times", path);
  check(H5Pset_chunk(list.get(), rank, chunk), "H5Pset_chunk", path);
  const bool is_variable = H5Tis_variable_str(type) > 0;
  if (!is_variable) {  // the filters would see heap addresses
    check(H5Pset_shuffle(list.get()), "H5Pset_shuffle", path);
    check(H5Pset_deflate(list.get(), kGzipLevel), "H5Pset_deflate", path);
  }
  return own_data(
      H5Dcreate2(file, path.c_str(), type, space.get(), H5P_DEFAULT, list.get(), H5P_DEFAULT),
      "H5Dcreate2", path);
}

// Adds `n` columns after the first `n_written`. `values` is (n_rows, stride).
void extend(hid_t dataset, const std::string& path, hid_t type, const Layout& layout,
            hsize_t n_written, hsize_t n, hsize_t stride, const void* values) {
  const int rank = layout.two_axes ? 2 : 1;
  const std::size_t skip = layout.two_axes ? 0 : 1;
  const hsize_t dims[2] = {layout.n_rows, n_written + n}, start[2] = {0, n_written},
                count[2] = {layout.n_rows, n};
  const hsize_t memory[2] = {layout.n_rows, stride}, origin[2] = {0, 0};
  check(H5Dset_extent(dataset, dims + skip), "H5Dset_extent", path);
  const Hdf5Id to = own_space(H5Dget_space(dataset), "H5Dget_space", path);
  const Hdf5Id from =
      own_space(H5Screate_simple(rank, memory + skip, nullptr), "H5Screate_simple", path);
  check(H5Sselect_hyperslab(to.get(), H5S_SELECT_SET, start + skip, nullptr, count + skip, nullptr),
        "H5Sselect_hyperslab", path);
  check(H5Sselect_hyperslab(from.get(), H5S_SELECT_SET, origin, nullptr, count + skip, nullptr),
        "H5Sselect_hyperslab", path);
  check(H5Dwrite(dataset, type, from.get(), to.get(), H5P_DEFAULT, values), "H5Dwrite", path);
}

void attach_scales(hid_t file, hid_t dataset, const std::string& path,
                   const std::vector<std::string>& scales) {
  for (std::size_t axis = 0; axis < scales.size(); ++axis) {
    if (scales[axis].empty()) continue;
    const Hdf5Id scale =
        own_data(H5Dopen2(file, scales[axis].c_str(), H5P_DEFAULT), "H5Dopen2", scales[axis]);
    check(H5DSattach_scale(dataset, scale.get(), static_cast<unsigned>(axis)), "H5DSattach_scale",
          path);
  }
}

std::string last_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

Hdf5Id open_dataset(std::int64_t file, const std::string& path) {
  return own_data(H5Dopen2(file, path.c_str(), H5P_DEFAULT), "H5Dopen2", path);
}

std::vector<std::uint64_t> shape_of(hid_t dataset, const std::string& path) {
  const Hdf5Id space = own_space(H5Dget_space(dataset), "H5Dget_space", path);
  const int rank =
      check(H5Sget_simple_extent_ndims(space.get()), "H5Sget_simple_extent_ndims", path);
  std::vector<hsize_t> dims(static_cast<std::size_t>(rank));
  if (rank > 0)
    check(H5Sget_simple_extent_dims(space.get(), dims.data(), nullptr), "H5Sget_simple_extent_dims",
          path);
  return {dims.begin(), dims.end()};
}

struct Selection {
  Hdf5Id memory, file;
};

Selection select_range(hid_t dataset, const std::string& path, std::uint64_t first,
                       std::uint64_t n) {
  const std::vector<std::uint64_t> shape = shape_of(dataset, path);
  if (shape.size() != 1)
    throw BadData("HDF5 dataset " + path +
                  " does not have one axis: the file is of another version");
  if (first > shape[0] || n > shape[0] - first)
    throw BadData("HDF5 dataset " + path +
                  " ends early: the file is damaged or of another version");
  const hsize_t start = first, count = n;
  Selection s{own_space(H5Screate_simple(1, &count, nullptr), "H5Screate_simple", path),
              own_space(H5Dget_space(dataset), "H5Dget_space", path)};
  check(H5Sselect_hyperslab(s.file.get(), H5S_SELECT_SET, &start, nullptr, &count, nullptr),
        "H5Sselect_hyperslab", path);
  return s;
}

// The bytes of a fixed-length string without its padding.
std::string unpadded(const char* bytes, std::size_t n) {
  while (n > 0 && bytes[n - 1] == '\0') --n;
  return std::string(bytes, n);
}

Hdf5Value read_attribute(hid_t attribute, const std::string& where, bool& is_scalar) {
  const Hdf5Id space = own_space(H5Aget_space(attribute), "H5Aget_space", where);
  const Hdf5Id type = own_type(H5Aget_type(attribute), "H5Aget_type", where);
  const H5T_class_t kind = H5Tget_class(type.get());
  is_scalar = H5Sget_simple_extent_npoints(space.get()) == 1;
  if (is_scalar && kind == H5T_INTEGER) {
    std::int64_t value = 0;
    check(H5Aread(attribute, H5T_NATIVE_INT64, &value), "H5Aread", where);
    return value;
  }
  if (is_scalar && kind == H5T_FLOAT) {
    double value = 0;
    check(H5Aread(attribute, H5T_NATIVE_DOUBLE, &value), "H5Aread", where);
    return value;
  }
  if (is_scalar && kind == H5T_STRING && H5Tis_variable_str(type.get()) > 0) {
    char* text = nullptr;
    check(H5Aread(attribute, type.get(), &text), "H5Aread", where);
    std::string value = text ? text : "";
    H5free_memory(text);
    return value;
  }
  if (is_scalar && kind == H5T_STRING) {
    std::vector<char> bytes(H5Tget_size(type.get()));
    check(H5Aread(attribute, type.get(), bytes.data()), "H5Aread", where);
    return unpadded(bytes.data(), bytes.size());
  }
  is_scalar = false;
  return std::int64_t{0};
}

}  // namespace

Hdf5Error::Hdf5Error(const std::string& function, const std::string& object,
                     const std::string& library_text)
    : Error(ExitCode::io, "HDF5: " + function + " of '" + object + "' failed: " + library_text) {}

// ---- appenders ----

template <class T>
Hdf5Appender<T>::Hdf5Appender(const Hdf5File& file, const std::string& path,
                              const Hdf5DatasetOptions& options, std::uint64_t n_rows)
    : path_(path),
      file_id_(file.id()),
      options_(options),
      n_rows_(n_rows > 0 ? n_rows : 1),
      two_axes_(n_rows > 0),
      chunk_(chunk_columns(sizeof(T), options.expected)),
      held_(n_rows_ * chunk_) {
  dataset_ = create_chunked(file_id_, path, type_of<T>(), {two_axes_, n_rows_, chunk_});
  describe(dataset_.get(), path, options.long_name, options.units);
}

template <class T>
void Hdf5Appender<T>::append(std::span<const T> values) {
  const std::uint64_t n = values.size() / n_rows_;
  if (n * n_rows_ != values.size())
    throw Error(ExitCode::internal, "HDF5 dataset " + path_ + ": the values are not whole columns");
  for (std::uint64_t done = 0; done < n;) {
    const std::uint64_t some = std::min(n - done, chunk_ - n_held_);
    for (std::uint64_t row = 0; row < n_rows_; ++row)
      std::copy_n(values.data() + row * n + done, some, held_.data() + row * chunk_ + n_held_);
    n_held_ += some;
    done += some;
    if (n_held_ == chunk_) write_held();
  }
}

template <class T>
void Hdf5Appender<T>::write_held() {
  if (n_held_ == 0) return;
  extend(dataset_.get(), path_, type_of<T>(), {two_axes_, n_rows_, chunk_}, n_written_, n_held_,
         chunk_, held_.data());
  n_written_ += n_held_;
  n_held_ = 0;
}

template <class T>
void Hdf5Appender<T>::finish() {
  write_held();
  attach_scales(file_id_, dataset_.get(), path_, options_.scales);
  dataset_ = Hdf5Id();
}

template class Hdf5Appender<float>;
template class Hdf5Appender<double>;
template class Hdf5Appender<std::uint8_t>;
template class Hdf5Appender<std::int32_t>;
template class Hdf5Appender<std::uint32_t>;
template class Hdf5Appender<std::int64_t>;
template class Hdf5Appender<std::uint64_t>;

Hdf5StringAppender::Hdf5StringAppender(const Hdf5File& file, const std::string& path,
                                       const Hdf5DatasetOptions& options, std::size_t longest_bytes)
    : path_(path),
      file_id_(file.id()),
      options_(options),
      fixed_bytes_(longest_bytes <= kLongestFixedString ? std::max<std::size_t>(1, longest_bytes)
                                                        : 0),
      chunk_(chunk_columns(fixed_bytes_ > 0 ? fixed_bytes_ : 16, options.expected)) {
  type_ = string_type(fixed_bytes_ > 0 ? fixed_bytes_ : H5T_VARIABLE, path);
  dataset_ = create_chunked(file_id_, path, type_.get(), {false, 1, chunk_});
  describe(dataset_.get(), path, options.long_name, options.units);
}

void Hdf5StringAppender::append(std::string_view value) {
  if (fixed_bytes_ > 0 && value.size() > fixed_bytes_)
    throw Error(ExitCode::internal,
                "HDF5 dataset " + path_ + ": a string is longer than announced");
  held_.emplace_back(value);
  n_held_bytes_ += value.size();
  if (held_.size() == chunk_ || (fixed_bytes_ == 0 && n_held_bytes_ >= kMostHeldBytes))
    write_held();
}

void Hdf5StringAppender::write_held() {
  if (held_.empty()) return;
  const Layout layout{false, 1, chunk_};
  if (fixed_bytes_ > 0) {
    std::vector<char> bytes(held_.size() * fixed_bytes_, '\0');
    for (std::size_t i = 0; i < held_.size(); ++i)
      std::copy(held_[i].begin(), held_[i].end(),
                bytes.begin() + static_cast<std::ptrdiff_t>(i * fixed_bytes_));
    extend(dataset_.get(), path_, type_.get(), layout, n_written_, held_.size(), held_.size(),
           bytes.data());
  } else {
    std::vector<const char*> pointers;
    for (const std::string& s : held_) pointers.push_back(s.c_str());
    extend(dataset_.get(), path_, type_.get(), layout, n_written_, held_.size(), held_.size(),
           pointers.data());
  }
  n_written_ += held_.size();
  held_.clear();
  n_held_bytes_ = 0;
}

void Hdf5StringAppender::finish() {
  write_held();
  attach_scales(file_id_, dataset_.get(), path_, options_.scales);
  dataset_ = Hdf5Id();
}

// ---- file ----

Hdf5File::Hdf5File(const std::string& path, Mode mode) : path_(path) {
  prepare_library();
  const Hdf5Id access = own_list(H5Pcreate(H5P_FILE_ACCESS), "H5Pcreate", path);
  check(H5Pset_fclose_degree(access.get(), H5F_CLOSE_STRONG), "H5Pset_fclose_degree", path);
  if (mode == Mode::create) {
    const Hdf5Id creation = own_list(H5Pcreate(H5P_FILE_CREATE), "H5Pcreate", path);
    check(H5Pset_obj_track_times(creation.get(), false), "H5Pset_obj_track_times", path);
    const hid_t id = H5Fcreate(path.c_str(), H5F_ACC_TRUNC, creation.get(), access.get());
    if (id < 0)
      throw Error(ExitCode::cannot_create, "cannot create '" + path + "': " + library_text());
    file_ = {id, close_id<H5Fclose>};
    return;
  }
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored))
    throw Error(ExitCode::no_input, "the file '" + path + "' does not exist");
  const hid_t id =
      H5Fopen(path.c_str(), mode == Mode::edit ? H5F_ACC_RDWR : H5F_ACC_RDONLY, access.get());
  if (id < 0) throw BadData("'" + path + "' cannot be read as an HDF5 file: " + library_text());
  file_ = {id, close_id<H5Fclose>};
}

void Hdf5File::close() {
  check(H5Fflush(file_.get(), H5F_SCOPE_LOCAL), "H5Fflush", path_);
  check(H5Fclose(file_.release()), "H5Fclose", path_);
}

void Hdf5File::create_group(const std::string& path) {
  const Hdf5Id list = own_list(H5Pcreate(H5P_GROUP_CREATE), "H5Pcreate", path);
  check(H5Pset_obj_track_times(list.get(), false), "H5Pset_obj_track_times", path);
  const Hdf5Id group = own_object(
      H5Gcreate2(id(), path.c_str(), H5P_DEFAULT, list.get(), H5P_DEFAULT), "H5Gcreate2", path);
}

void Hdf5File::set_attribute(const std::string& object, const std::string& name,
                             const Hdf5Value& value) {
  const Hdf5Id to = own_object(H5Oopen(id(), object.c_str(), H5P_DEFAULT), "H5Oopen", object);
  if (check(H5Aexists(to.get(), name.c_str()), "H5Aexists", object + "@" + name) > 0)
    check(H5Adelete(to.get(), name.c_str()), "H5Adelete", object + "@" + name);
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
  check(H5Awrite(attribute.get(), type, bytes), "H5Awrite", object + "@" + name);
}

void Hdf5File::create_dimension(const std::string& path, std::uint64_t size,
                                const std::string& long_name) {
  const hsize_t dims = size;
  const Hdf5Id space = own_space(H5Screate_simple(1, &dims, nullptr), "H5Screate_simple", path);
  const Hdf5Id list = own_list(H5Pcreate(H5P_DATASET_CREATE), "H5Pcreate", path);
  check(H5Pset_obj_track_times(list.get(), false), "H5Pset_obj_track_times", path);
  const Hdf5Id dataset = own_data(H5Dcreate2(id(), path.c_str(), H5T_IEEE_F32BE, space.get(),
                                             H5P_DEFAULT, list.get(), H5P_DEFAULT),
                                  "H5Dcreate2", path);
  char name[80];  // netCDF-4's own words
  std::snprintf(name, sizeof name, "This is a netCDF dimension but not a netCDF variable.%10llu",
                static_cast<unsigned long long>(size));
  check(H5DSset_scale(dataset.get(), name), "H5DSset_scale", path);
  describe(dataset.get(), path, long_name, "1");
}

template <class T>
void Hdf5File::create_scale(const std::string& path, std::span<const T> values,
                            const std::string& long_name, const std::string& units) {
  Hdf5Appender<T> appender(
      *this, path,
      {.long_name = long_name, .units = units, .scales = {}, .expected = values.size()});
  appender.append(values);
  appender.finish();
  const Hdf5Id dataset = open_dataset(id(), path);
  check(H5DSset_scale(dataset.get(), last_name(path).c_str()), "H5DSset_scale", path);
}

template void Hdf5File::create_scale(const std::string&, std::span<const std::int32_t>,
                                     const std::string&, const std::string&);
template void Hdf5File::create_scale(const std::string&, std::span<const std::uint64_t>,
                                     const std::string&, const std::string&);

template <class T>
void Hdf5File::overwrite(const std::string& path, std::uint64_t first, std::span<const T> values) {
  const Hdf5Id dataset = open_dataset(id(), path);
  const Selection s = select_range(dataset.get(), path, first, values.size());
  if (values.empty()) return;
  check(H5Dwrite(dataset.get(), type_of<T>(), s.memory.get(), s.file.get(), H5P_DEFAULT,
                 values.data()),
        "H5Dwrite", path);
}

template void Hdf5File::overwrite(const std::string&, std::uint64_t, std::span<const double>);
template void Hdf5File::overwrite(const std::string&, std::uint64_t,
                                  std::span<const std::uint32_t>);
template void Hdf5File::overwrite(const std::string&, std::uint64_t,
                                  std::span<const std::uint64_t>);

void Hdf5File::remove(const std::string& path) {
  check(H5Ldelete(id(), path.c_str(), H5P_DEFAULT), "H5Ldelete", path);
}

bool Hdf5File::exists(const std::string& path) const {
  for (std::size_t at = path.find('/', 1);; at = path.find('/', at + 1)) {
    const std::string part = path.substr(0, at);
    if (part != "/" && H5Lexists(id(), part.c_str(), H5P_DEFAULT) <= 0)
      return H5Eclear2(H5E_DEFAULT), false;
    if (at == std::string::npos) return true;
  }
}

std::vector<Hdf5Object> Hdf5File::list(const std::string& group) const {
  const Hdf5Id from = own_object(H5Oopen(id(), group.c_str(), H5P_DEFAULT), "H5Oopen", group);
  std::vector<Hdf5Object> objects;
  check(H5Literate(
            from.get(), H5_INDEX_NAME, H5_ITER_INC, nullptr,
            [](hid_t, const char* name, const H5L_info_t*, void* out) -> herr_t {
              static_cast<std::vector<Hdf5Object>*>(out)->push_back({name, false});
              return 0;
            },
            &objects),
        "H5Literate", group);
  for (Hdf5Object& o : objects) {
    const hid_t object = H5Oopen(from.get(), o.name.c_str(), H5P_DEFAULT);
    if (object < 0) continue;  // a link that leads nowhere
    o.is_group = H5Iget_type(object) == H5I_GROUP;
    H5Oclose(object);
  }
  H5Eclear2(H5E_DEFAULT);
  return objects;
}

std::vector<std::pair<std::string, Hdf5Value>> Hdf5File::attributes(
    const std::string& object) const {
  const Hdf5Id from = own_object(H5Oopen(id(), object.c_str(), H5P_DEFAULT), "H5Oopen", object);
  std::vector<std::string> names;
  check(H5Aiterate2(
            from.get(), H5_INDEX_NAME, H5_ITER_INC, nullptr,
            [](hid_t, const char* name, const H5A_info_t*, void* out) -> herr_t {
              static_cast<std::vector<std::string>*>(out)->push_back(name);
              return 0;
            },
            &names),
        "H5Aiterate2", object);
  std::vector<std::pair<std::string, Hdf5Value>> values;
  for (const std::string& name : names) {
    const std::string where = object + "@" + name;
    const Hdf5Id attribute =
        own_attribute(H5Aopen(from.get(), name.c_str(), H5P_DEFAULT), "H5Aopen", where);
    bool is_scalar = false;
    Hdf5Value value = read_attribute(attribute.get(), where, is_scalar);
    if (is_scalar) values.emplace_back(name, std::move(value));
  }
  return values;
}

std::vector<std::uint64_t> Hdf5File::shape(const std::string& dataset) const {
  return shape_of(open_dataset(id(), dataset).get(), dataset);
}

std::string Hdf5File::type_name(const std::string& dataset) const {
  const Hdf5Id from = open_dataset(id(), dataset);
  const Hdf5Id type = own_type(H5Dget_type(from.get()), "H5Dget_type", dataset);
  const std::string bits = std::to_string(8 * H5Tget_size(type.get()));
  switch (H5Tget_class(type.get())) {
    case H5T_INTEGER:
      return (H5Tget_sign(type.get()) == H5T_SGN_NONE ? "uint" : "int") + bits;
    case H5T_FLOAT:
      return "float" + bits;
    case H5T_STRING:
      return H5Tis_variable_str(type.get()) > 0
                 ? "string"
                 : "string of " + std::to_string(H5Tget_size(type.get())) + " bytes";
    default:
      return "other";
  }
}

template <class T>
std::vector<T> Hdf5File::read(const std::string& path, std::uint64_t first, std::uint64_t n) const {
  const Hdf5Id dataset = open_dataset(id(), path);
  const Selection s = select_range(dataset.get(), path, first, n);
  std::vector<T> values(n);
  if (n > 0)
    check(H5Dread(dataset.get(), type_of<T>(), s.memory.get(), s.file.get(), H5P_DEFAULT,
                  values.data()),
          "H5Dread", path);
  return values;
}

template <class T>
std::vector<T> Hdf5File::read_all(const std::string& path) const {
  const Hdf5Id dataset = open_dataset(id(), path);
  const std::vector<std::uint64_t> shape = shape_of(dataset.get(), path);
  std::vector<T> values(
      std::accumulate(shape.begin(), shape.end(), std::uint64_t{1}, std::multiplies<>()));
  if (!values.empty())
    check(H5Dread(dataset.get(), type_of<T>(), H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()),
          "H5Dread", path);
  return values;
}

#define TOVAMILL_READ(T)                                                                      \
  template std::vector<T> Hdf5File::read<T>(const std::string&, std::uint64_t, std::uint64_t) \
      const;                                                                                  \
  template std::vector<T> Hdf5File::read_all<T>(const std::string&) const
TOVAMILL_READ(float);
TOVAMILL_READ(double);
TOVAMILL_READ(std::int32_t);
TOVAMILL_READ(std::int64_t);
TOVAMILL_READ(std::uint64_t);
#undef TOVAMILL_READ

std::vector<std::string> Hdf5File::read_strings(const std::string& path, std::uint64_t first,
                                                std::uint64_t n) const {
  const Hdf5Id dataset = open_dataset(id(), path);
  const Selection s = select_range(dataset.get(), path, first, n);
  const Hdf5Id type = own_type(H5Dget_type(dataset.get()), "H5Dget_type", path);
  if (H5Tget_class(type.get()) != H5T_STRING)
    throw BadData("HDF5 dataset " + path +
                  " does not hold strings: the file is of another version");
  std::vector<std::string> values;
  if (n == 0) return values;
  if (H5Tis_variable_str(type.get()) > 0) {
    std::vector<char*> pointers(n, nullptr);
    check(H5Dread(dataset.get(), type.get(), s.memory.get(), s.file.get(), H5P_DEFAULT,
                  pointers.data()),
          "H5Dread", path);
    for (const char* p : pointers) values.emplace_back(p ? p : "");
    H5Dvlen_reclaim(type.get(), s.memory.get(), H5P_DEFAULT, pointers.data());
    return values;
  }
  const std::size_t bytes = H5Tget_size(type.get());
  std::vector<char> flat(n * bytes);
  check(H5Dread(dataset.get(), type.get(), s.memory.get(), s.file.get(), H5P_DEFAULT, flat.data()),
        "H5Dread", path);
  for (std::uint64_t i = 0; i < n; ++i) values.push_back(unpadded(flat.data() + i * bytes, bytes));
  return values;
}

}  // namespace tovamill
