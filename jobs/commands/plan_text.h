// What `tovamill plan` prints, from a plan alone.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "workers/plan/plan_run.h"

namespace tovamill {

std::string plan_text(const RunPlan& plan);
nlohmann::ordered_json plan_json(const RunPlan& plan);

}  // namespace tovamill
