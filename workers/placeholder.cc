#include "workers/run_options.h"
#include "workers/score_run.h"
