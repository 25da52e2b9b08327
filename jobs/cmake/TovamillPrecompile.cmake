# What most sources include, precompiled: reading it again and again is more than half of a build. Not with ccache, which
# does not keep what is made with it; so a build with ccache is the one that shows a missing #include.
set(tovamill_common_headers <algorithm> <filesystem> <functional> <map> <memory> <optional> <span> <string> <thread> <vector>)
# g++ 12 takes some strings for shorter than they are (GCC PR 105651).
set(tovamill_false_alarms)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  set(tovamill_false_alarms $<$<COMPILE_LANGUAGE:CXX>:-Wno-array-bounds;-Wno-stringop-overflow;-Wno-stringop-overread>)
endif()

# Headers for a target alone.
function(tovamill_precompile target)
  if(NOT CMAKE_CXX_COMPILER_LAUNCHER)
    target_precompile_headers(${target} PRIVATE ${tovamill_common_headers} ${ARGN})
    target_compile_options(${target} PRIVATE ${tovamill_false_alarms})
  endif()
endfunction()

# Headers of several targets that are compiled with this -O in Release: `name` is what they call them by.
function(tovamill_shared_headers name optimisation)
  set(source ${PROJECT_BINARY_DIR}/headers/${name}.cc)
  file(CONFIGURE OUTPUT ${source} CONTENT "// Only its headers matter.\n")
  add_library(${name} OBJECT EXCLUDE_FROM_ALL ${source})
  target_link_libraries(${name} PRIVATE tovamill_flags nlohmann_json::nlohmann_json)
  target_compile_options(${name} PRIVATE $<$<CONFIG:Release>:${optimisation}>)
  set_property(TARGET ${name} PROPERTY TOVAMILL_OPTIMISATION ${optimisation})
  tovamill_precompile(${name} ${ARGN})
endfunction()

# Compiles a target as `name` says, with its headers.
function(tovamill_compile_like target name)
  get_target_property(optimisation ${name} TOVAMILL_OPTIMISATION)
  target_compile_options(${target} PRIVATE $<$<CONFIG:Release>:${optimisation}> ${tovamill_false_alarms})
  if(NOT CMAKE_CXX_COMPILER_LAUNCHER)
    get_target_property(type ${target} TYPE)
    if(type STREQUAL "EXECUTABLE")  # headers made with -fPIC are of no use with -fPIE
      set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
      target_compile_options(${target} PRIVATE -fPIC)
    endif()
    target_precompile_headers(${target} REUSE_FROM ${name})
  endif()
endfunction()
