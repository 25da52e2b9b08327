#!/usr/bin/env python3
"""Writes the published files of SQuALITY or QMSum as a corpus of records with lists of questions and of references.

    question_records.py squality|qmsum SOURCE.jsonl TARGET.jsonl [N]

A line of TARGET: {"id", "text", "questions": [...], "references": [[...], ...]}, of the first N stories or meetings (0:
all). SQuALITY 1.3 has four references a question; a QMSum meeting becomes lines "speaker: content", its general queries
come before the specific ones, with one reference each. TARGET is whole or absent.
"""

import json
import os
import sys


def squality(story):
    questions = story["questions"]
    return {
        "id": story["metadata"]["passage_id"],
        "text": story["document"],
        "questions": [q["question_text"] for q in questions],
        "references": [[r["response_text"] for r in q["responses"]] for q in questions],
    }


def qmsum(meeting):
    queries = meeting["general_query_list"] + meeting["specific_query_list"]
    return {
        "id": meeting["meeting_id"],
        "text": "\n".join(f"{turn['speaker']}: {turn['content']}" for turn in meeting["meeting_transcripts"]),
        "questions": [q["query"] for q in queries],
        "references": [[q["answer"]] for q in queries],
    }


def main():
    if len(sys.argv) not in (4, 5) or sys.argv[1] not in ("squality", "qmsum"):
        print(__doc__, file=sys.stderr)
        return 64
    kind, source, target = sys.argv[1:4]
    most = int(sys.argv[4]) if len(sys.argv) == 5 else 0
    convert = {"squality": squality, "qmsum": qmsum}[kind]
    with open(source, encoding="utf-8") as lines:
        try:
            records = [convert(json.loads(line)) for line in lines if line.strip()]
        except (KeyError, TypeError, ValueError) as problem:
            print(f"{source} is not what {kind} publishes ({type(problem).__name__}: {problem})", file=sys.stderr)
            return 65
    with open(target + ".tmp", "w", encoding="utf-8") as out:
        for record in records[: most or None]:
            out.write(json.dumps(record, ensure_ascii=False) + "\n")
    os.replace(target + ".tmp", target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
