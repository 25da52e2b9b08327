// Datasets that grow: chunks are filled in memory and written whole.
#include <hdf5.h>
#include <hdf5_hl.h>

#include <algorithm>

#include "io/results/hdf5_call.h"
#include "io/results/hdf5_file.h"

namespace tovamill {
namespace {

constexpr std::size_t kChunkBytes = 128u << 10;   // before compression
constexpr std::size_t kMostHeldBytes = 4u << 20;  // of strings of variable length
constexpr unsigned kGzipLevel = 4;                // measured: 6 is twice as slow for a tenth less

struct Layout {
  bool two_axes = false;
  hsize_t n_rows = 1, chunk = 1;
};

// Columns of a chunk: about kChunkBytes, not more than will come.
std::uint64_t chunk_columns(std::size_t item_bytes, std::uint64_t expected) {
  const std::uint64_t n = std::max<std::uint64_t>(1, kChunkBytes / item_bytes);
  return expected > 0 ? std::min(n, expected) : n;
}

Hdf5Id create_chunked(hid_t file, const std::string& path, hid_t type, const Layout& layout) {
  const hsize_t dims[2] = {layout.two_axes ? layout.n_rows : 0, 0};
  const hsize_t limits[2] = {layout.two_axes ? layout.n_rows : H5S_UNLIMITED, H5S_UNLIMITED};
  const hsize_t chunk[2] = {layout.two_axes ? 1 : layout.chunk, layout.chunk};
  const int rank = layout.two_axes ? 2 : 1;
  const Hdf5Id space = own_space(H5Screate_simple(rank, dims, limits), "H5Screate_simple", path);
  const Hdf5Id list = own_list(H5Pcreate(H5P_DATASET_CREATE), "H5Pcreate", path);
  check_hdf5(H5Pset_obj_track_times(list.get(), false), "H5Pset_obj_track_times", path);
  check_hdf5(H5Pset_chunk(list.get(), rank, chunk), "H5Pset_chunk", path);
  const bool is_variable = H5Tis_variable_str(type) > 0;
  if (!is_variable) {  // the filters would see heap addresses
    check_hdf5(H5Pset_shuffle(list.get()), "H5Pset_shuffle", path);
    check_hdf5(H5Pset_deflate(list.get(), kGzipLevel), "H5Pset_deflate", path);
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
  check_hdf5(H5Dset_extent(dataset, dims + skip), "H5Dset_extent", path);
  const Hdf5Id to = own_space(H5Dget_space(dataset), "H5Dget_space", path);
  const Hdf5Id from =
      own_space(H5Screate_simple(rank, memory + skip, nullptr), "H5Screate_simple", path);
  check_hdf5(
      H5Sselect_hyperslab(to.get(), H5S_SELECT_SET, start + skip, nullptr, count + skip, nullptr),
      "H5Sselect_hyperslab", path);
  check_hdf5(
      H5Sselect_hyperslab(from.get(), H5S_SELECT_SET, origin, nullptr, count + skip, nullptr),
      "H5Sselect_hyperslab", path);
  check_hdf5(H5Dwrite(dataset, type, from.get(), to.get(), H5P_DEFAULT, values), "H5Dwrite", path);
}

void attach_scales(hid_t file, hid_t dataset, const std::string& path,
                   const std::vector<std::string>& scales) {
  for (std::size_t axis = 0; axis < scales.size(); ++axis) {
    if (scales[axis].empty()) continue;
    const Hdf5Id scale =
        own_data(H5Dopen2(file, scales[axis].c_str(), H5P_DEFAULT), "H5Dopen2", scales[axis]);
    check_hdf5(H5DSattach_scale(dataset, scale.get(), static_cast<unsigned>(axis)),
               "H5DSattach_scale", path);
  }
}

// With the paths of the scales as the file has them.
Hdf5DatasetOptions in_file(const Hdf5File& file, const Hdf5DatasetOptions& given) {
  Hdf5DatasetOptions options = given;
  for (std::string& scale : options.scales) scale = file.in_file(scale);
  return options;
}

}  // namespace

template <class T>
Hdf5Appender<T>::Hdf5Appender(const Hdf5File& file, const std::string& path,
                              const Hdf5DatasetOptions& options, std::uint64_t n_rows)
    : path_(file.in_file(path)),
      file_id_(file.id()),
      options_(in_file(file, options)),
      n_rows_(n_rows > 0 ? n_rows : 1),
      two_axes_(n_rows > 0),
      chunk_(chunk_columns(sizeof(T), options.expected)),
      held_(n_rows_ * chunk_) {
  dataset_ = create_chunked(file_id_, path_, hdf5_type<T>(), {two_axes_, n_rows_, chunk_});
  describe_dataset(dataset_.get(), path_, options.long_name, options.units);
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
  extend(dataset_.get(), path_, hdf5_type<T>(), {two_axes_, n_rows_, chunk_}, n_written_, n_held_,
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
    : path_(file.in_file(path)),
      file_id_(file.id()),
      options_(in_file(file, options)),
      fixed_bytes_(longest_bytes <= kLongestFixedString ? std::max<std::size_t>(1, longest_bytes)
                                                        : 0),
      chunk_(chunk_columns(fixed_bytes_ > 0 ? fixed_bytes_ : 16, options.expected)) {
  type_ = hdf5_string_type(fixed_bytes_ > 0 ? fixed_bytes_ : H5T_VARIABLE, path_);
  dataset_ = create_chunked(file_id_, path_, type_.get(), {false, 1, chunk_});
  describe_dataset(dataset_.get(), path_, options.long_name, options.units);
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

}  // namespace tovamill
