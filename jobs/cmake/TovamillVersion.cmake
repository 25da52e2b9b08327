# `tovamill_build.h`: version, git hash and compiler of this build. Looked at on every build, written only when it changes.
set(TOVAMILL_GENERATED_DIR ${PROJECT_BINARY_DIR}/generated)
add_custom_target(tovamill_build_header
  COMMAND ${CMAKE_COMMAND} -DSOURCE_DIR=${PROJECT_SOURCE_DIR} -DOUTPUT=${TOVAMILL_GENERATED_DIR}/tovamill_build.h
          -DVERSION=${PROJECT_VERSION}
          "-DBUILD=${CMAKE_BUILD_TYPE}, ${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}"
          -P ${PROJECT_SOURCE_DIR}/jobs/cmake/WriteBuildHeader.cmake
  BYPRODUCTS ${TOVAMILL_GENERATED_DIR}/tovamill_build.h
  COMMENT "" VERBATIM)
