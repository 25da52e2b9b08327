# HDF5 and its high-level library (dimension scales) as the target tovamill::HDF5, and HDF5_VERSION: Debian's serial one
# unless a prefix is named, else what FindHDF5 finds (HDF5_ROOT, CMAKE_PREFIX_PATH, h5cc), else hdf5.pc.
set(tovamill_hdf5_is_named FALSE)
if(HDF5_ROOT OR HDF5_DIR OR CMAKE_PREFIX_PATH OR DEFINED ENV{HDF5_ROOT} OR DEFINED ENV{CMAKE_PREFIX_PATH})
  set(tovamill_hdf5_is_named TRUE)
endif()
add_library(tovamill::HDF5 INTERFACE IMPORTED GLOBAL)

# By pkg-config: the module of HDF5, whose high-level library lies beside it.
function(tovamill_use_hdf5_module)
  find_library(HDF5_MODULE_HL hdf5_hl HINTS ${HDF5_MODULE_LIBRARY_DIRS} REQUIRED)
  target_link_libraries(tovamill::HDF5 INTERFACE ${HDF5_MODULE_HL} PkgConfig::HDF5_MODULE)
endfunction()

if(PkgConfig_FOUND AND NOT tovamill_hdf5_is_named)
  pkg_search_module(HDF5_MODULE QUIET IMPORTED_TARGET GLOBAL hdf5-serial)
endif()
if(NOT HDF5_MODULE_FOUND)
  enable_language(C)  # FindHDF5 compiles with it
  find_package(HDF5 QUIET COMPONENTS C HL)
  if(HDF5_FOUND AND HDF5_HL_FOUND)
    target_include_directories(tovamill::HDF5 SYSTEM INTERFACE ${HDF5_INCLUDE_DIRS})
    target_link_libraries(tovamill::HDF5 INTERFACE ${HDF5_C_HL_LIBRARIES} ${HDF5_C_LIBRARIES})
    if(HDF5_IS_PARALLEL)  # its headers include MPI's
      target_link_libraries(tovamill::HDF5 INTERFACE MPI::MPI_CXX)
    endif()
  elseif(PkgConfig_FOUND)
    pkg_search_module(HDF5_MODULE QUIET IMPORTED_TARGET GLOBAL hdf5 hdf5-serial)
  endif()
endif()
if(HDF5_MODULE_FOUND)
  tovamill_use_hdf5_module()
  set(HDF5_VERSION ${HDF5_MODULE_VERSION})
elseif(NOT HDF5_FOUND)
  message(FATAL_ERROR "HDF5 with its high-level library is not found: install libhdf5-dev (Debian's name), or name the "
                      "prefix that it is in: -DHDF5_ROOT=...")
endif()
message(STATUS "Found HDF5: version ${HDF5_VERSION}")
