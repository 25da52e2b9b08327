# Everything the program links against, as imported targets: from the system, or from prefixes that CMAKE_PREFIX_PATH,
# PKG_CONFIG_PATH or <name>_ROOT name (HDF5_ROOT, Boost_ROOT, MPI_HOME, dnnl_ROOT, ...).
find_package(Threads REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS CXX)
find_package(ZLIB REQUIRED)
find_package(BZip2 REQUIRED)
find_package(nlohmann_json 3.9 REQUIRED)
find_package(Boost 1.74 REQUIRED COMPONENTS program_options)
set(MPI_CXX_SKIP_MPICXX ON)  # the C functions only: MPI's C++ bindings are gone from the standard
find_package(MPI REQUIRED COMPONENTS CXX)
find_package(PkgConfig)

# A library of C functions as the target tovamill::<name>: by pkg-config, which may know it by several names, or else
# where its header and library lie. <name>_VERSION is empty where pkg-config does not know it.
function(tovamill_find_library name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "HEADER;PACKAGE" "MODULES;LIBRARIES")
  if(PkgConfig_FOUND)
    pkg_search_module(${name} QUIET IMPORTED_TARGET GLOBAL ${arg_MODULES})
  endif()
  add_library(tovamill::${name} INTERFACE IMPORTED GLOBAL)
  if(${name}_FOUND)
    target_link_libraries(tovamill::${name} INTERFACE PkgConfig::${name})
    message(STATUS "Found ${name}: version ${${name}_VERSION}")
  else()
    find_path(${name}_INCLUDE_DIR ${arg_HEADER} HINTS ${${name}_ROOT} ENV ${name}_ROOT PATH_SUFFIXES include)
    find_library(${name}_LIBRARY NAMES ${arg_LIBRARIES} HINTS ${${name}_ROOT} ENV ${name}_ROOT PATH_SUFFIXES lib lib64)
    if(NOT ${name}_INCLUDE_DIR OR NOT ${name}_LIBRARY)
      message(FATAL_ERROR "${arg_HEADER} or its library is not found: install ${arg_PACKAGE} (Debian's name), or name "
                          "the prefix that it is in: -DCMAKE_PREFIX_PATH=...")
    endif()
    target_include_directories(tovamill::${name} SYSTEM INTERFACE ${${name}_INCLUDE_DIR})
    target_link_libraries(tovamill::${name} INTERFACE ${${name}_LIBRARY})
    message(STATUS "Found ${name}: ${${name}_LIBRARY}")
  endif()
  set(${name}_VERSION "${${name}_VERSION}" PARENT_SCOPE)
endfunction()

tovamill_find_library(ONIGURUMA MODULES oniguruma HEADER oniguruma.h LIBRARIES onig PACKAGE libonig-dev)
tovamill_find_library(ZSTD MODULES libzstd HEADER zstd.h LIBRARIES zstd PACKAGE libzstd-dev)
tovamill_find_library(LZMA MODULES liblzma HEADER lzma.h LIBRARIES lzma PACKAGE liblzma-dev)
tovamill_find_library(UTF8PROC MODULES libutf8proc utf8proc HEADER utf8proc.h LIBRARIES utf8proc PACKAGE libutf8proc-dev)
tovamill_find_library(SIMDJSON MODULES simdjson HEADER simdjson.h LIBRARIES simdjson PACKAGE libsimdjson-dev)
# oneDNN's own CMake package may ask for OpenCL, which nothing here needs: its header and library do.
tovamill_find_library(DNNL MODULES dnnl HEADER dnnl.hpp LIBRARIES dnnl PACKAGE libdnnl-dev)

include(TovamillHdf5)
