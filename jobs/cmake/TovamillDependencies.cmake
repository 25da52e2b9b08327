# Everything the program links against, all from the distribution's packages, as imported targets.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS CXX)
find_package(Boost REQUIRED COMPONENTS program_options)
find_package(ZLIB REQUIRED)
find_package(nlohmann_json 3.9 REQUIRED)
pkg_check_modules(HDF5 REQUIRED IMPORTED_TARGET hdf5-serial)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)
pkg_check_modules(ZSTD REQUIRED IMPORTED_TARGET libzstd)
find_package(simdjson REQUIRED)
set(MPI_CXX_SKIP_MPICXX ON)  # the C functions only: MPI's C++ bindings are gone from the standard
find_package(MPI REQUIRED COMPONENTS CXX)

# Debian's CMake package of oneDNN asks for OpenCL, which nothing here needs: take the header and the library.
find_path(DNNL_INCLUDE_DIR dnnl.hpp REQUIRED)
find_library(DNNL_LIBRARY dnnl REQUIRED)
add_library(DNNL::dnnl UNKNOWN IMPORTED)
set_target_properties(DNNL::dnnl PROPERTIES IMPORTED_LOCATION ${DNNL_LIBRARY}
                      INTERFACE_INCLUDE_DIRECTORIES ${DNNL_INCLUDE_DIR})

# libutf8proc's pkg-config file is called "libutf8proc" or "utf8proc", by release.
pkg_search_module(UTF8PROC REQUIRED IMPORTED_TARGET libutf8proc utf8proc)
