//! Small corpora with tricky sentences, and their scores by sacreBLEU 2.6.0 with default settings.
//!
//! The values are those of this command in Python, for each corpus:
//! `print(sacrebleu.corpus_bleu(hypotheses, [references]).score,
//! sacrebleu.corpus_chrf(hypotheses, [references]).score)`

/// A corpus and its scores, in [0, 100].
pub(super) struct Corpus {
    pub(super) name: &'static str,
    pub(super) hypotheses: &'static [&'static str],
    pub(super) references: &'static [&'static str],
    pub(super) bleu: f64,
    pub(super) chrf: f64,
}

/// All corpora.
pub(super) const CORPORA: &[Corpus] = &[
    Corpus {
        name: "plain sentences",
        hypotheses: &[
            "The cat sat on the mat.",
            "He read the book because he was interested in world history.",
        ],
        references: &[
            "The cat is on the mat.",
            "He was interested in world history because he read the book.",
        ],
        bleu: 48.772_513_815_294_74,
        chrf: 83.042_237_737_085_07,
    },
    Corpus {
        name: "punctuation",
        hypotheses: &[
            "\"Wait!\" she said; then... nothing?",
            "(a) first, (b) second: [c] {d} / e\\f",
        ],
        references: &[
            "\"Wait\", she said - then nothing...",
            "(a) first; (b) second, [c] {d} /e\\f!",
        ],
        bleu: 53.262_925_444_659_4,
        chrf: 61.657_955_322_559_47,
    },
    Corpus {
        name: "numbers",
        hypotheses: &[
            "It cost $1,234.56 in 2019-20, i.e. 3.5% more than no.7.",
            "From 5-10 to 1.000,50 and .5 or 5.",
        ],
        references: &[
            "It cost 1,234.56 dollars in 2019-2020, i.e. 3,5 % more than no. 7.",
            "From 5 - 10 to 1.000,50 and 0.5 or 5 .",
        ],
        bleu: 57.604_683_836_469_63,
        chrf: 72.602_937_747_806_96,
    },
    Corpus {
        name: "entities of markup",
        hypotheses: &[
            "&quot;Tom &amp; Jerry&quot; &lt;b&gt; &amp;lt; &apos;x&apos;",
            "a<skipped>b &amp;amp; c",
        ],
        references: &["\"Tom & Jerry\" <b> &lt; 'x'", "ab && c &quot"],
        bleu: 45.950_473_656_246_02,
        chrf: 18.474_728_450_967_96,
    },
    Corpus {
        name: "hyphens and apostrophes",
        hypotheses: &[
            "The well-known twenty-first-century state-of-the-art isn't John's.",
            "rock 'n' roll - or - not -5",
        ],
        references: &[
            "The well known twenty-first century state-of-the-art is n't Johns'.",
            "rock'n'roll -- or -- not - 5",
        ],
        bleu: 4.108_368_935_016_809,
        chrf: 82.895_179_610_819,
    },
    Corpus {
        name: "Chinese and Japanese",
        hypotheses: &["我喜欢猫，也喜欢狗。", "これは本です。 あれは ペン です。"],
        references: &["我喜欢狗，也喜欢猫。", "これは本です。 それは ペン です。"],
        bleu: 33.437_015_248_821_105,
        chrf: 59.894_412_074_517_08,
    },
    Corpus {
        name: "Devanagari and Amharic",
        hypotheses: &["मैं घर जा रहा हूँ। ५,५ और ३.५", "ሰላም፣ እንዴት ነህ ወዳጄ ዛሬ?"],
        references: &["मैं अपने घर जा रहा हूँ। ५,५ या ३.५", "ሰላም፣ እንዴት ነሽ ወዳጄ ዛሬ?"],
        bleu: 53.439_792_258_959_976,
        chrf: 63.598_020_821_604_73,
    },
    Corpus {
        name: "right to left",
        hypotheses: &["السلام عليكم، كيف حالك اليوم؟", "אני הולך הביתה, ומה איתך?"],
        references: &["السلام عليكم، كيف حالكم اليوم؟", "אני הולכת הביתה ומה איתך, חבר?"],
        bleu: 20.783_849_411_727_594,
        chrf: 67.384_792_710_483_13,
    },
    Corpus {
        name: "combining marks",
        hypotheses: &[
            "O\u{323}\u{301}mo\u{323}\u{301} na\u{301}a\u{300} lo\u{323} si\u{301} o\u{323}ja\u{300} la\u{301}na\u{301}a\u{300}.",
            "Ẹ kú àárọ\u{300}, ẹ\u{301}gẹ\u{301} mi.",
        ],
        references: &[
            "Ọmọ\u{301} náà lọ sí o\u{323}ja\u{300} la\u{301}na\u{301}a\u{300}.",
            "Ẹ kú àárọ\u{300} , ẹ\u{301}gbẹ\u{301} mi !",
        ],
        bleu: 30.739_407_647_563_226,
        chrf: 59.454_726_501_267_544,
    },
    Corpus {
        name: "emoji",
        hypotheses: &["Good morning 😀👍🏽 and 👩\u{200d}👩\u{200d}👧 to all!", "🇳🇬 wins 2-1 🏆"],
        references: &["Good morning 😀 👍 and 👩\u{200d}👧 to all!", "🇳🇬 won 2-1 🏆🏆"],
        bleu: 22.994_377_106_203_515,
        chrf: 69.566_432_440_420_36,
    },
    Corpus {
        name: "empty hypotheses",
        hypotheses: &["", "The dog runs in the park today.", ""],
        references: &["A bird sings.", "The dog runs in a park today.", "Nobody knows."],
        bleu: 20.843_100_983_925_424,
        chrf: 47.708_370_569_477_445,
    },
    Corpus {
        name: "empty references",
        hypotheses: &["A bird sings here.", "The dog runs in the park today."],
        references: &["", "The dog runs in a park today."],
        bleu: 32.857_020_447_977_74,
        chrf: 80.538_849_991_660_1,
    },
    Corpus {
        name: "only empty hypotheses",
        hypotheses: &["", ""],
        references: &["a b c d", "e"],
        bleu: 0.0,
        chrf: 0.0,
    },
    Corpus {
        name: "sentences of one word",
        hypotheses: &["Yes", "No", "Maybe"],
        references: &["Yes", "No", "Perhaps"],
        bleu: 0.0,
        chrf: 22.636_232_407_073_262,
    },
    Corpus {
        name: "no match of four tokens",
        hypotheses: &["the small dog ran to a red house", "one two three"],
        references: &["a small dog went to the red barn", "one too three"],
        bleu: 13.033_894_166_590_237,
        chrf: 43.563_363_379_539_85,
    },
    Corpus {
        name: "no match at all",
        hypotheses: &["abc def ghi jkl", "xyz"],
        references: &["mno pqr stu vw .", "w"],
        bleu: 0.0,
        chrf: 0.0,
    },
    Corpus {
        name: "only one token matches",
        hypotheses: &["a b c d e f", "g h i j"],
        references: &["f z y x w v", "q r s t"],
        bleu: 5.341_087_579_952_926,
        chrf: 1.666_666_666_666_666_7,
    },
    Corpus {
        name: "long and repeated hypotheses",
        hypotheses: &["the the the the the the the the", "go go go go now now"],
        references: &["the cat", "go now"],
        bleu: 7.267_884_212_102_742,
        chrf: 27.280_669_420_037_096,
    },
    Corpus {
        name: "equal texts",
        hypotheses: &["A sentence that is equal, word for word.", "Another one!"],
        references: &["A sentence that is equal, word for word.", "Another one!"],
        bleu: 100.000_000_000_000_04,
        chrf: 100.0,
    },
    Corpus {
        name: "white space of all kinds",
        hypotheses: &[
            "  a\u{a0}b\u{9}c  d\u{3000}e \u{200b}f\u{2003}g\u{1f}h  ",
            "x\u{85}y\u{2028}z w ",
        ],
        references: &["a b c d e f g h", "x y z w"],
        bleu: 69.189_128_761_545_25,
        chrf: 55.341_661_561_485_66,
    },
    Corpus {
        name: "capitals",
        hypotheses: &["the United nations met in new York on monday"],
        references: &["The United Nations met in New York on Monday"],
        bleu: 14.258_769_764_520_75,
        chrf: 64.798_810_368_070_33,
    },
];
