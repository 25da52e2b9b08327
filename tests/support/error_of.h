// What a call throws, checked to be fit for the user.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "kernels/types/error.h"

namespace tovamill::testing {

// The message of the Error that `call` throws; fails the test where it throws none, one with
// another exit code, or a text that is not one line of printable ASCII.
template <typename Call>
std::string error_of(Call call, ExitCode code = ExitCode::bad_data) {
  try {
    call();
  } catch (const Error& e) {
    const std::string message = e.what();
    EXPECT_EQ(static_cast<int>(e.code()), static_cast<int>(code)) << message;
    EXPECT_TRUE(std::all_of(message.begin(), message.end(), [](char c) {
      return c >= 32 && c < 127;
    })) << message;
    return message;
  } catch (const std::exception& e) {
    ADD_FAILURE() << "threw something else than Error: " << e.what();
    return "";
  }
  ADD_FAILURE() << "threw nothing";
  return "";
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace tovamill::testing
