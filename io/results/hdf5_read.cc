// Reading what an HDF5 file holds: objects, attributes, ranges of datasets.
#include <hdf5.h>

#include <functional>
#include <numeric>

#include "io/results/hdf5_call.h"
#include "io/results/hdf5_file.h"

namespace tovamill {
namespace {

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
    check_hdf5(H5Aread(attribute, H5T_NATIVE_INT64, &value), "H5Aread", where);
    return value;
  }
  if (is_scalar && kind == H5T_FLOAT) {
    double value = 0;
    check_hdf5(H5Aread(attribute, H5T_NATIVE_DOUBLE, &value), "H5Aread", where);
    return value;
  }
  if (is_scalar && kind == H5T_STRING && H5Tis_variable_str(type.get()) > 0) {
    char* text = nullptr;
    check_hdf5(H5Aread(attribute, type.get(), &text), "H5Aread", where);
    std::string value = text ? text : "";
    H5free_memory(text);
    return value;
  }
  if (is_scalar && kind == H5T_STRING) {
    std::vector<char> bytes(H5Tget_size(type.get()));
    check_hdf5(H5Aread(attribute, type.get(), bytes.data()), "H5Aread", where);
    return unpadded(bytes.data(), bytes.size());
  }
  is_scalar = false;
  return std::int64_t{0};
}

}  // namespace

bool Hdf5File::exists(const std::string& name) const {
  const std::string path = in_file(name);
  for (std::size_t at = path.find('/', 1);; at = path.find('/', at + 1)) {
    const std::string part = path.substr(0, at);
    if (part != "/" && H5Lexists(id(), part.c_str(), H5P_DEFAULT) <= 0)
      return H5Eclear2(H5E_DEFAULT), false;
    if (at == std::string::npos) return true;
  }
}

std::vector<Hdf5Object> Hdf5File::list(const std::string& name) const {
  const std::string group = in_file(name);
  const Hdf5Id from = own_object(H5Oopen(id(), group.c_str(), H5P_DEFAULT), "H5Oopen", group);
  std::vector<Hdf5Object> objects;
  check_hdf5(H5Literate(
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

std::vector<std::pair<std::string, Hdf5Value>> Hdf5File::attributes(const std::string& of) const {
  const std::string object = in_file(of);
  const Hdf5Id from = own_object(H5Oopen(id(), object.c_str(), H5P_DEFAULT), "H5Oopen", object);
  std::vector<std::string> names;
  check_hdf5(H5Aiterate2(
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

std::vector<std::uint64_t> Hdf5File::shape(const std::string& name) const {
  const std::string dataset = in_file(name);
  return shape_of(open_dataset(id(), dataset).get(), dataset);
}

std::string Hdf5File::type_name(const std::string& name) const {
  const std::string dataset = in_file(name);
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
std::vector<T> Hdf5File::read(const std::string& name, std::uint64_t first, std::uint64_t n) const {
  const std::string path = in_file(name);
  const Hdf5Id dataset = open_dataset(id(), path);
  const Hdf5Selection s = select_range(dataset.get(), path, first, n);
  std::vector<T> values(n);
  if (n > 0)
    check_hdf5(H5Dread(dataset.get(), hdf5_type<T>(), s.memory.get(), s.file.get(), H5P_DEFAULT,
                       values.data()),
               "H5Dread", path);
  return values;
}

template <class T>
std::vector<T> Hdf5File::read_all(const std::string& name) const {
  const std::string path = in_file(name);
  const Hdf5Id dataset = open_dataset(id(), path);
  const std::vector<std::uint64_t> shape = shape_of(dataset.get(), path);
  std::vector<T> values(
      std::accumulate(shape.begin(), shape.end(), std::uint64_t{1}, std::multiplies<>()));
  if (!values.empty())
    check_hdf5(H5Dread(dataset.get(), hdf5_type<T>(), H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()),
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

std::vector<std::string> Hdf5File::read_strings(const std::string& name, std::uint64_t first,
                                                std::uint64_t n) const {
  const std::string path = in_file(name);
  const Hdf5Id dataset = open_dataset(id(), path);
  const Hdf5Selection s = select_range(dataset.get(), path, first, n);
  const Hdf5Id type = own_type(H5Dget_type(dataset.get()), "H5Dget_type", path);
  if (H5Tget_class(type.get()) != H5T_STRING)
    throw BadData("HDF5 dataset " + path +
                  " does not hold strings: the file is of another version");
  std::vector<std::string> values;
  if (n == 0) return values;
  if (H5Tis_variable_str(type.get()) > 0) {
    std::vector<char*> pointers(n, nullptr);
    check_hdf5(H5Dread(dataset.get(), type.get(), s.memory.get(), s.file.get(), H5P_DEFAULT,
                       pointers.data()),
               "H5Dread", path);
    for (const char* p : pointers) values.emplace_back(p ? p : "");
    H5Dvlen_reclaim(type.get(), s.memory.get(), H5P_DEFAULT, pointers.data());
    return values;
  }
  const std::size_t bytes = H5Tget_size(type.get());
  std::vector<char> flat(n * bytes);
  check_hdf5(
      H5Dread(dataset.get(), type.get(), s.memory.get(), s.file.get(), H5P_DEFAULT, flat.data()),
      "H5Dread", path);
  for (std::uint64_t i = 0; i < n; ++i) values.push_back(unpadded(flat.data() + i * bytes, bytes));
  return values;
}

}  // namespace tovamill
