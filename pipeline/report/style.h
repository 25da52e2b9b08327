// The style sheet of a report.
#pragma once

namespace tovamill {

extern const char* const kReportStyle;

}  // namespace tovamill
