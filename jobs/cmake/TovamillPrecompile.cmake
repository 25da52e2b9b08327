# What most sources include, precompiled for a target: reading it again and again is more than half of a build. Not with
# ccache, which does not keep what is made with it; so a build with ccache is the one that shows a missing #include.
function(tovamill_precompile target)
  if(CMAKE_CXX_COMPILER_LAUNCHER)
    return()
  endif()
  target_precompile_headers(${target} PRIVATE <algorithm> <filesystem> <functional> <map> <memory> <optional> <span>
                            <string> <thread> <vector> ${ARGN})
  # g++ 12 then takes some strings for shorter than they are (GCC PR 105651).
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    target_compile_options(${target} PRIVATE
                           $<$<COMPILE_LANGUAGE:CXX>:-Wno-array-bounds;-Wno-stringop-overflow;-Wno-stringop-overread>)
  endif()
endfunction()
