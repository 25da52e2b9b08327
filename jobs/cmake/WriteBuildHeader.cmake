# Run as a script (cmake -P) by TovamillVersion.cmake.
cmake_minimum_required(VERSION 3.25)
execute_process(COMMAND git -C ${SOURCE_DIR} describe --always --dirty --abbrev=12 --exclude=*
                OUTPUT_VARIABLE hash OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
if(failed OR hash STREQUAL "")
  set(hash unknown)
endif()
file(CONFIGURE OUTPUT ${OUTPUT} @ONLY CONTENT "#pragma once
#define TOVAMILL_VERSION \"@VERSION@\"
#define TOVAMILL_GIT_HASH \"@hash@\"
#define TOVAMILL_BUILD \"@BUILD@\"
")
