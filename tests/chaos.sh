#!/usr/bin/env bash
# Kills whatever can be killed of runs on several ranks, at random moments, and compares what they end with to the
# results of an undisturbed run of one process.
#   chaos.sh [--rounds N] [--seed S] [--job score|sweep|generate|both] [--changes] [--build FOLDER] [--keep]
# Every round starts jobs/launch.sh with a random number of ranks and random options, and deals one to five blows: to a
# rank, to the coordinator, to all ranks, to mpirun, to a rank while it starts; by SIGKILL, by SIGSTOP until long after
# it was given up, by SIGSEGV (once a round), or by SIGUSR1 to all (save and stop). Where launch.sh gives up, it is
# started again. With --job both (the default) every third round, from the second on, samples texts instead of scoring;
# its --stream-jsonl file must hold each text, too. With --changes the corpus changes once a round between two starts:
# the next start must refuse it by name (78); then it is restored or, where it only grew, continued with
# --accept-appended, to the results of an undisturbed run. Exits 1 where any round ends with other results, or does not end.
# Takes 10 to 20 s a round.
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

rounds=50 seed=1 job=both build=$root/build keep=no changes=no
while [ $# -gt 0 ]; do
  case "$1" in
    --rounds) rounds=$2; shift 2 ;;
    --seed) seed=$2; shift 2 ;;
    --job) job=$2; shift 2 ;;
    --build) build=$(cd "$2" && pwd) || exit 64; shift 2 ;;
    --keep) keep=yes; shift ;;
    --changes) changes=yes; shift ;;
    *) sed -n '2,14s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 64 ;;
  esac
done
case "$job" in score | sweep | generate | both) ;; *) echo "chaos.sh: --job $job: score, sweep, generate or both" >&2; exit 64 ;; esac
for name in tovamill make_tiny_run compare_results; do
  [ -x "$build/$name" ] || { echo "chaos.sh: $build/$name is not built" >&2; exit 66; }
done
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
for name in $(compgen -e | grep -E '^(SLURM|PMI|PMIX|TOVAMILL)_'); do unset "$name"; done

work=$(mktemp -d)
launcher=''
finish() {
  if [ -n "$launcher" ]; then kill -KILL "$launcher" 2>/dev/null; fi
  pkill -KILL -f "$work" 2>/dev/null
  if [ "$keep" = yes ]; then echo "kept: $work"; else rm -rf "$work"; fi
}
trap finish EXIT
trap 'exit 1' INT TERM

RANDOM=$seed
below() { echo $((RANDOM % $1)); }
pick() { local -a of=("$@"); echo "${of[$((RANDOM % $#))]}"; }
nap() { sleep "$(printf '%d.%03d' $(($1 / 1000)) $(($1 % 1000)))"; }  # milliseconds

# Processes of the round at $out: ranks as "PID RANK", mpirun as a PID.
ranks_of_round() {
  local pid rank
  for pid in $(pgrep -f -- "--out $out\$"); do  # not what launch.sh asks first
    [ "$(readlink "/proc/$pid/exe")" = "$build/tovamill" ] || continue
    rank=$(tr '\0' '\n' <"/proc/$pid/environ" 2>/dev/null | sed -n 's/^OMPI_COMM_WORLD_RANK=//p')
    echo "$pid ${rank:-0}"
  done
}
mpirun_of_round() { pgrep -f -- "^(mpirun|prterun) .*--out $out( |$)" | head -n 1; }

# Deals a blow; says what it was.
strike() {
  local -a ranks
  mapfile -t ranks < <(ranks_of_round)
  [ "${#ranks[@]}" -gt 0 ] || { echo -n " (nobody)"; return; }
  local kind victim pid rank
  kind=$(pick rank rank rank coordinator coordinator all mpirun freeze stop crash)
  case "$kind" in
    rank | freeze | crash)
      victim=${ranks[$(below "${#ranks[@]}")]} pid=${victim% *} rank=${victim#* }
      if [ "$kind" = freeze ] && [ "$rank" != 0 ]; then
        kill -STOP "$pid" 2>/dev/null
        (sleep 9; kill -CONT "$pid" 2>/dev/null) &
      elif [ "$kind" = crash ] && [ "$n_crashes" -eq 0 ]; then
        n_crashes=1
        kill -SEGV "$pid" 2>/dev/null
      else
        kind=rank
        kill -KILL "$pid" 2>/dev/null
      fi
      echo -n " $kind$rank" ;;
    coordinator)
      for victim in "${ranks[@]}"; do
        if [ "${victim#* }" = 0 ]; then kill -KILL "${victim% *}" 2>/dev/null; fi
      done
      echo -n " coordinator" ;;
    all)
      for victim in "${ranks[@]}"; do kill -KILL "${victim% *}" 2>/dev/null; done
      echo -n " all" ;;
    mpirun)
      pid=$(mpirun_of_round)
      if [ -n "$pid" ]; then kill -KILL "$pid" 2>/dev/null; fi
      echo -n " mpirun" ;;
    stop)
      kill -USR1 "$launcher" 2>/dev/null
      echo -n " stop" ;;
  esac
}

start_launch() {  # RANKS OPTIONS...
  local n=$1
  shift
  "$root/jobs/launch.sh" -n "$n" "$build/tovamill" "${work_of_round[@]}" "$@" --out "$out" >>"$out.log" 2>&1 &
  launcher=$!
}

# The command of a job without what differs from run to run; --stream-jsonl lies beside $out.
set_work() {  # JOB
  job_of_round=$1
  work_of_round=("${1/sweep/score}" --model "$work/tiny/model" --corpus "$work/tiny/corpus" --cache-size 32 --dtype f32
    --threads 1)
  if [ "$1" = score ]; then
    work_of_round+=(--trace-state)
  elif [ "$1" = sweep ]; then
    work_of_round+=(--trace-state --sweep 'policy=full,tova-ema,random cache-size=16,64 chunk-tokens=0,128')
  else
    work_of_round+=(--temperature 1 --samples 2 --max-new-tokens 64 --min-new-tokens 16 --stream-jsonl "$out.jsonl")
  fi
}

# The texts in JSON lines by file, offset, question and sample.
texts_in() {
  sed -nE 's/.*"file":"([^"]*)".*"offset":([0-9]+).*"question_index":([0-9]+),"sample":([0-9]+).*/\1 \2 \3 \4/p' | sort -u
}

# Changes the corpus; sets what was done, and the file that a start must name.
change_corpus() {
  local -a lines texts
  mapfile -t lines < <(find "$work/tiny/corpus" -name '*.jsonl' -size +0 | sort)
  mapfile -t texts < <(find "$work/tiny/corpus" -name '*.txt' | sort)
  changed=${lines[$(below "${#lines[@]}")]}
  change=$(pick deleted edited gone text appended new)
  case "$change" in
    deleted) sed -i 1d "$changed" ;;
    edited) sed -i '1s/[0-9a-z]\(["\\ ]\)/Z\1/2' "$changed" ;;
    gone) rm "$changed" ;;
    text) changed=${texts[$(below "${#texts[@]}")]}; echo "and more" >>"$changed" ;;
    appended) printf '{"text": "one more 1 2 3"}\n' >>"$changed" ;;
    new) changed=$work/tiny/corpus/new.jsonl; printf '{"text": "a new one 1 2 3"}\n' >"$changed" ;;
  esac
}

# Changes the corpus between two starts of the round, and back where it cannot be continued; says what went wrong.
is_refused_when_changed() {
  local code stream=()
  change_corpus
  echo -n " $change"
  "$build/tovamill" "${work_of_round[@]}" --out "$out" >"$out.refused" 2>&1
  code=$?
  if [ "$code" != 78 ] || ! grep -qF "$changed" "$out.refused"; then
    echo -n " (exit code $code, $changed is not refused)"
    return 1
  fi
  case "$change" in
    appended | new)
      accepts=(--accept-appended)
      if [ "$job_of_round" = generate ]; then stream=(--stream-jsonl "$out.fresh.jsonl"); fi
      "$build/tovamill" "${work_of_round[@]}" "${stream[@]}" --out "$out.fresh" >>"$out.log" 2>&1 ;;
    *) rm -rf "$work/tiny/corpus" && cp -a "$work/pristine" "$work/tiny/corpus" ;;
  esac
}

# Whether the round's results are those of the undisturbed run, and all of its texts are in the file of --stream-jsonl.
is_equal() {
  local whole=$work/whole-$job_of_round
  [ ! -e "$out.fresh" ] || whole=$out.fresh
  "$build/compare_results" "$whole/results.h5" "$out/results.h5" >"$out.diff" 2>&1 || return 1
  [ "$job_of_round" = generate ] || return 0
  "$build/tovamill" export "$out" --format jsonl | texts_in >"$out.texts"
  [ -s "$out.texts" ] && texts_in <"$out.jsonl" | diff - "$out.texts" >"$out.diff" 2>&1
}

echo "chaos.sh: $rounds rounds from seed $seed"
"$build/make_tiny_run" "$work/tiny" 150 "$seed" || exit 1
for kind in score sweep generate; do
  if [ "$job" != "$kind" ] && { [ "$job" != both ] || [ "$kind" = sweep ]; }; then continue; fi
  out=$work/whole-$kind
  set_work "$kind"
  "$build/tovamill" "${work_of_round[@]}" --out "$out" >"$out.log" 2>&1 || { cat "$out.log"; exit 1; }
done

cp -a "$work/tiny/corpus" "$work/pristine"
n_bad=0 n_blows=0 n_starts_all=0
for ((round = 1; round <= rounds; ++round)); do
  out=$work/round$round started=$SECONDS starts=1 n_crashes=0 changed='' accepts=()
  n=$((1 + $(below 5))) blows=$((1 + $(below 5)))
  options=(--silence-seconds 4 --sync-seconds "$(pick 0.05 0.5 5)" --streams "$(pick 0 1 3)")
  if [ "$(below 3)" = 0 ]; then options+=(--save-every "$(pick 0.1 0.5)"); fi
  if [ "$(below 4)" = 0 ] && [ "$n" -gt 1 ]; then options+=(--dedicated-coordinator); fi
  kind=$job
  if [ "$job" = both ]; then if [ $((round % 3)) -eq 2 ]; then kind=generate; else kind=score; fi; fi
  set_work "$kind"
  echo -n "$round: $kind, $n ranks:"
  start_launch "$n" "${options[@]}"
  if [ "$(below 5)" = 0 ]; then nap $((100 + $(below 600))); else nap $((1000 + $(below 2500))); fi
  for ((blow = 0; blow < blows; ++blow)); do
    strike
    n_blows=$((n_blows + 1))
    nap $((100 + $(below 2500)))
  done
  code=75
  while [ "$code" -eq 75 ] && [ "$starts" -le 20 ]; do
    waited=$SECONDS
    while kill -0 "$launcher" 2>/dev/null && [ $((SECONDS - waited)) -lt 120 ]; do sleep 0.1; done
    if kill -0 "$launcher" 2>/dev/null; then code=hangs; break; fi
    wait "$launcher"
    code=$?
    if [ "$changes" = yes ] && [ -z "$changed" ] && [[ "$code" =~ ^(0|75)$ ]]; then
      is_refused_when_changed || { code=changed; break; }
      code=75
    fi
    if [ "$code" -eq 75 ]; then
      starts=$((starts + 1)) n=$((1 + $(below 5)))
      start_launch "$n" --silence-seconds 4 "${accepts[@]}"
    fi
  done
  n_starts_all=$((n_starts_all + starts))
  if [ "$code" = 0 ] && is_equal && [ ! -e "$out/states" ]; then
    echo " -> equal, $(find "$out/journal" -name '[0-9]*.log' | wc -l) journals, $((SECONDS - started)) s"
    rm -rf "$out" "$out".{log,diff,jsonl,texts,refused,fresh,fresh.jsonl}
  else
    n_bad=$((n_bad + 1))
    echo " -> BAD (exit code $code)"
    cat "$out.diff" 2>/dev/null
    tail -n 30 "$out.log" | sed 's/^/    /'
    keep=yes
    pkill -KILL -f -- "--out $out( |$)" 2>/dev/null
  fi
  launcher=''
  if [ -n "$changed" ]; then rm -rf "$work/tiny/corpus" && cp -a "$work/pristine" "$work/tiny/corpus"; fi
done
echo "chaos.sh: $((rounds - n_bad)) of $rounds rounds ended with equal results; $n_blows blows, $n_starts_all starts"
[ "$n_bad" -eq 0 ]
