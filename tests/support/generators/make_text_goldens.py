#!/usr/bin/env python3
"""Writes tests/support/goldens/texts/metrics.jsonl: pairs of texts and what Python's packages measure between them.

    pip install rouge-score==0.1.2 nltk && python3 tests/support/generators/make_text_goldens.py

A line: `text`, `reference`, `rouge` and `rouge_stemmed` (F-measures of rouge1, rouge2, rougeL by the package rouge-score),
`f1` and `exact` (as SQuAD's evaluate-v2.0.py, whose functions are spelled out below). The texts are made here. With
--text A --reference B it prints the line of one pair instead; with --pairs FILE those of a file of lines with `text` and
`reference`.
"""
import argparse
import collections
import json
import pathlib
import random
import re
import string
import sys

from rouge_score import rouge_scorer

OUT = pathlib.Path(__file__).parent.parent / "goldens" / "texts" / "metrics.jsonl"
KINDS = ["rouge1", "rouge2", "rougeL"]
PLAIN = rouge_scorer.RougeScorer(KINDS)
STEMMED = rouge_scorer.RougeScorer(KINDS, use_stemmer=True)


def normalize(text):
    text = "".join(c for c in text.lower() if c not in set(string.punctuation))
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text, flags=re.UNICODE).split())


def f1(text, reference):
    a, b = normalize(text).split(), normalize(reference).split()
    if not a or not b:
        return int(a == b)
    common = sum((collections.Counter(a) & collections.Counter(b)).values())
    if common == 0:
        return 0
    precision, recall = common / len(a), common / len(b)
    return (2 * precision * recall) / (precision + recall)


def measure(text, reference):
    line = {"text": text, "reference": reference}
    for name, scorer in (("rouge", PLAIN), ("rouge_stemmed", STEMMED)):
        scores = scorer.score(reference, text)
        line[name] = [scores[kind].fmeasure for kind in KINDS]
    line["f1"] = f1(text, reference)
    line["exact"] = int(normalize(text) == normalize(reference))
    return line


SENTENCES = {
    "english": [
        "The lighthouse keeper had been watching the storms for thirty-one years, and he never trusted a calm sea.",
        "A committee of engineers, geologists and farmers recommended relocating the entire village before winter.",
        "She argued that the generalization was hopelessly oversimplified; nobody on the panel agreed with her.",
        "By 1887 the railway carried 12,450 passengers a year at a cost of $3.75 each, according to the annual report.",
        "An old dog and the cat were lying under the apple tree, dying of boredom while the skies darkened.",
        "Relational databases, conditional probabilities and rational expectations were discussed at length.",
        "Hopping, hoping, hopped and hoped: the teacher's examples weren't helping anybody's spelling.",
        "The novelist's happiness depended on communities of readers who enjoyed her controversial analogies.",
        "News of the innings and outings reached the canning factory; proceedings succeeded and exceeded all hopes.",
        "It's the company's policy that employees' belongings be inspected - an unpopular, occasionally ignored rule.",
        "Geology, theology and archaeology are disciplines whose terminologies differ radically and vitally.",
        "He carefully measured the viscosity, electrical conductivity and formality of everything in the room.",
    ],
    "german": [
        "Die Straße führt über drei große Brücken, bevor sie das Tal der Mühlen erreicht.",
        "Ärzte und Übersetzer trafen sich am 3. Oktober in Köln, um über Öffentlichkeitsarbeit zu reden.",
        "Das weiß ich nicht, sagte der Müller; fragen Sie doch meinen Bruder in STRASSE Nr. 7!",
        "Im Frühling blühen die Apfelbäume hinter dem alten Rathaus besonders schön.",
    ],
    "french": [
        "L'été dernier, nous avons traversé la forêt à pied jusqu'à la chapelle où naquit le poète.",
        "Où étiez-vous quand l'Œuvre inachevée fut présentée à l'Académie ? Ça n'a étonné personne.",
        "Le garçon préfère les gâteaux aux pâtes ; sa sœur, elle, n'aime que le maïs grillé.",
        "À NOËL, LES ÉLÈVES CHANTENT DANS LA COUR DU COLLÈGE.",
    ],
    "greek": [
        "Ο ΟΔΥΣΣΕΥΣ ΚΑΙ Ο ΣΊΣΥΦΟΣ ΣΤΑΘΗΚΑΝ ΣΤΗΝ ΑΚΡΗ ΤΗΣ ΘΑΛΑΣΣΑΣ.",
        "Ο Οδυσσεύς και ο Σίσυφος στάθηκαν στην άκρη της θάλασσας.",
        "ΣΑΣ ΕΥΧΑΡΙΣΤΩ, ΦΊΛΟΙ ΜΟΥ: ΤΟ ΤΕΛΟΣ ΤΗΣ ΙΣΤΟΡΙΑΣ ΕΊΝΑΙ ΚΑΛΟΣ' ΟΙΩΝΟΣ. Σ Σ. ΑΣ\u00ad ΑΣ'Α ΑΣ\u0301Β",
    ],
    "turkish": [
        "İstanbul'un ışıkları ıslak sokaklarda İZMİR'den gelen gemileri bekliyordu.",
        "ISPARTA ILIK, İĞNE İNCE; Iğdır'da kışın günler kısadır.",
        "Çocuklar öğleden sonra şeker almak için köşedeki bakkala koştular.",
    ],
    "russian": [
        "Старый мельник ЖИЛ на краю деревни и каждый вечер кормил ЁЖИКОВ.",
        "В 1913 году железная дорога дошла до моря, и цены на рыбу упали.",
        "Почему Вы не сказали об этом раньше? Мы бы взяли с собой зонты!",
    ],
    "chinese": ["老人每天早上在河边散步，看着渔船慢慢出海。", "一九八七年，这座桥被洪水冲毁了；三年后重建。", "我们明天去 Beijing 参观 the 博物馆。"],
    "japanese": ["駅前の喫茶店で、祖父はいつも同じ席に座っていた。", "カタカナとｈａｌｆｗｉｄｔｈ　ＡＮＤ　ＴＨＥ全角文字。", "雨が降ったら、試合は a 来週に延期されます。"],
    "arabic": ["كانت المدينة القديمة تستيقظ على صوت الباعة في السوق.", "وصل القطار متأخرا ٣٠ دقيقة، ولم يعتذر أحد.", "كِتَابٌ جَدِيدٌ"],
    "hindi": ["नदी के किनारे बैठे बच्चे नावों की गिनती कर रहे थे।", "पिछले साल बारिश १५ दिन देर से आई थी।", "किताबें मेज़ पर रखी हैं।"],
    "emoji": ["Great job 👍🏽!!! The team 👩‍👩‍👧‍👦 celebrated 🎉🎉 in 🇩🇪 and 🇫🇷.", "❤️ a❤️an❤️the ☕️ 1️⃣2️⃣", "🙂 🙂 🙃"],
    "combining": [
        "cafe\u0301 a\u0301 a\u0308n the\u0301 nai\u0308ve A\u030angstro\u0308m q\u0323\u0307 the",
        "\u212aelvin 5\u212a \u212bngstro\u0308m \u2126hm \u01c4ungla \u01c5 \ufb01nal \u017ft \u1e9e \u00aa \u00ba \u2160\u24b6",
        "x\u00a0y\u2003z\u3000w\u0085v\u1680u\u200bt\u2028s\x1cr\x1fq\ufeffp",
    ],
}
TRAPS = """sky skies dying lying tying news innings inning outings outing cannings canning howe proceed exceed succeed
caresses ponies ties dies flies caress cats feed agreed plastered bled motoring sing conflated troubled sized hopping tanned
falling hissing fizzed failing filing happy enjoy spy try relational conditional rational valenci hesitanci digitizer
conformabli radicalli differentli vileli analogousli vietnamization predication operator feudalism decisiveness hopefulness
callousness formaliti sensitiviti sensibiliti triplicate formative formalize electriciti electrical hopeful goodness revival
allowance inference airliner gyroscopic adjustable defensible irritant replacement adjustment dependent adoption homologou
communism activate angulariti homologous effective bowdlerize probate rate cease controll roll yyyy syzygy toying saying
boyish died spied tied cried eyed oed aing being ing ed eed freed apology geology theologi logi carefully fully 3rds 1990s
x264 a1b2s 10ing abs4ed mp3s 2nding ional ation ization tional iviti iously sses ies ied used using ions onion passion station
internationalization antidisestablishmentarianism oversimplification rationalizations vitally essentially finally alli
crystalli metalli additionally probably possibly ably""".split()


def changed(rng, text):
    """The text with some of its words dropped, doubled, moved, or in another case."""
    words = text.split(" ")
    for _ in range(rng.randrange(1, 2 + len(words) // 2)):
        if not words:
            break
        at = rng.randrange(len(words))
        kind = rng.randrange(8)
        if kind == 0:
            del words[at]
        elif kind == 1:
            words.insert(rng.randrange(len(words) + 1), words[at])
        elif kind == 2:
            other = rng.randrange(len(words))
            words[at], words[other] = words[other], words[at]
        elif kind == 3:
            words[at] = rng.choice([str.upper, str.lower, str.title, str.swapcase])(words[at])
        elif kind == 4:
            words[at] += rng.choice([",", ".", "!", "...", "-", "_", "s", "'s", "ing", "\u2019s", "\n", "\t"])
        elif kind == 5:
            words.insert(at, rng.choice(["the", "a", "an", "A", "The", "AN", "_a_", "the-", "1", "42", "3.14", "U.S.A."]))
        elif kind == 6:
            words.insert(at, rng.choice(TRAPS))
        else:
            words[at] = rng.choice(SENTENCES["english"]).split(" ")[0]
    return " ".join(words)


def fixed_pairs():
    yield from [("", ""), ("", "a"), ("the", ""), ("the", "an"), ("...", "!"), ("", "word"), ("word", ""), (" ", "\n\t"),
                ("word", "word"), ("Word.", "the word"), ("one", "two"), ("a b", "b a"), ("a a a", "a"), ("x", "x x x x"),
                ("\u0130", "i"), ("\u0130x", "i x"), ("\u212a", "k"), ("\u03a3", "\u03c3"), ("_the_", ""), ("the_", "the"),
                ("can't", "cant"), ("end-to-end", "end to end"), ("\u4e2d", "\u4e2d"), ("a\u0301", "\u0301"), ("naïve", "na ve")]
    for trap in TRAPS:
        yield trap, random.Random(trap).choice(TRAPS) + " " + trap[: max(3, len(trap) - 2)]
    yield " ".join(TRAPS), " ".join(reversed(TRAPS))


def pairs(rng):
    yield from fixed_pairs()
    languages = list(SENTENCES)
    for round_ in range(240):
        language = languages[round_ % len(languages)] if round_ % 3 else "english"
        sentences = SENTENCES[language]
        n = rng.choice([1, 1, 1, 2, 3])
        reference = rng.choice([" ", "\n", "  "]).join(rng.choice(sentences) for _ in range(n))
        if rng.randrange(4) == 0:
            text = rng.choice(sentences) + " " + rng.choice(SENTENCES[rng.choice(languages)])
        else:
            text = changed(rng, reference)
        yield text, reference
    for n_text, n_reference in [(40, 1), (1, 40), (30, 30), (12, 25)]:
        every = [s for sentences in SENTENCES.values() for s in sentences]
        yield tuple(" ".join(changed(rng, rng.choice(every)) for _ in range(n)) for n in (n_text, n_reference))


def write(lines, file):
    for line in lines:
        print(json.dumps(line, ensure_ascii=False), file=file)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--text", default="")
    parser.add_argument("--reference")
    parser.add_argument("--pairs")
    options = parser.parse_args()
    if options.reference is not None:
        write([measure(options.text, options.reference)], sys.stdout)
    elif options.pairs:
        with open(options.pairs, encoding="utf-8") as file:
            write((measure(p["text"], p["reference"]) for p in map(json.loads, file)), sys.stdout)
    else:
        OUT.parent.mkdir(exist_ok=True)
        with open(OUT, "w", encoding="utf-8") as file:
            write((measure(*pair) for pair in pairs(random.Random(20))), file)


if __name__ == "__main__":
    main()
