//! The named corpora: licences, files, and their addresses and digests.

use crate::fetch::locations::Official;

/// A named corpus.
pub(super) struct Known {
    pub(super) name: &'static str,
    /// Codes of the source and the target language.
    pub(super) languages: [&'static str; 2],
    /// Licence in one sentence.
    pub(super) licence: &'static str,
    pub(super) files: Files,
}

/// Files of a corpus, by their arrangement.
pub(super) enum Files {
    /// The files `train`, `dev` and `test`, one per language.
    Splits(&'static Part),
    /// The kits of one collection, which is split by digests.
    Kits(&'static Part),
    /// Training pairs of Global Voices, and the pairs of TICO-19 as lines or as an archive.
    Free { train: &'static Part, lines: &'static Part, archive: &'static Part },
}

/// Files of a corpus in one folder.
pub(super) struct Part {
    pub(super) official: Official,
    /// Owner and name of the repository on GitHub.
    pub(super) repository: &'static str,
    pub(super) commit: &'static str,
    pub(super) paths: Paths,
    /// Size of all files, for messages.
    pub(super) size: &'static str,
}

/// Paths of files in a repository.
pub(super) enum Paths {
    /// A folder. The files have their names there.
    Folder(&'static str),
    /// A path for each file, in the order of the files.
    Each(&'static [&'static str]),
}

impl Part {
    /// Names, paths in the repository, and digests of the files.
    pub(super) fn files(&self) -> impl Iterator<Item = (&'static str, String, &'static str)> {
        let files = self.official.files.iter().enumerate();
        files.filter_map(|(index, (name, digest))| {
            let path = match self.paths {
                Paths::Folder(folder) => format!("{folder}/{name}"),
                Paths::Each(paths) => (*paths.get(index)?).to_owned(),
            };
            Some((*name, path, *digest))
        })
    }

    /// Address of the repository, for messages.
    pub(super) fn home(&self) -> String {
        format!("https://github.com/{}", self.repository)
    }
}

/// Digests of files by their names.
type Digests = &'static [(&'static str, &'static str)];

/// Files that are not compressed.
const fn official(set: &'static str, folder: &'static str, files: Digests) -> Official {
    Official { set, folder, files, gzipped: false, system: None }
}

/// Files of MAFAND-MT (Adelani et al. 2022, arXiv 2205.02022).
const fn mafand(
    set: &'static str,
    folder: &'static str,
    path: &'static str,
    files: Digests,
    size: &'static str,
) -> Part {
    Part {
        official: official(set, folder, files),
        repository: "masakhane-io/lafand-mt",
        commit: "d441f8b063d63e95eafb72e84317359e27abf95e",
        paths: Paths::Folder(path),
        size,
    }
}

/// Files of TICO-19 (Anastasopoulos et al. 2020, arXiv 2007.01788).
const fn tico(files: Digests) -> Part {
    Part {
        official: official("TICO-19 en-sw", "tico19-en-swa", files),
        repository: "tico-19/tico-19.github.io",
        commit: "d97615f9cffa28ec7de571e00fbd513e5a1c7fc7",
        paths: Paths::Folder("data/TM"),
        size: "0.4 MB",
    }
}

/// Name of the archive of TICO-19.
pub(super) const ARCHIVE: &str = "all.en-sw.tmx.zip";

const NON_COMMERCIAL: &str = "CC BY-NC 4.0 for the translations: attribution, no commercial use.";

/// All corpora.
pub(super) static KNOWN: [Known; 7] = [
    Known {
        name: "en-pcm",
        languages: ["en", "pcm"],
        licence: NON_COMMERCIAL,
        files: Files::Splits(&mafand(
            "MAFAND-MT en-pcm",
            "lafand-en-pcm",
            "data/text_files/en-pcm",
            PIDGIN,
            "2.1 MB",
        )),
    },
    Known {
        name: "en-swa",
        languages: ["en", "swa"],
        licence: "CC BY 3.0 for the training pairs of Global Voices; CC BY-NC 4.0 for the other \
                  pairs: attribution, no commercial use.",
        files: Files::Splits(&mafand(
            "MAFAND-MT en-swa",
            "lafand-en-swa",
            "data/text_files/en-swa",
            SWAHILI,
            "8.2 MB",
        )),
    },
    Known {
        name: "fr-wol",
        languages: ["fr", "wol"],
        licence: NON_COMMERCIAL,
        files: Files::Splits(&mafand(
            "MAFAND-MT fr-wol",
            "lafand-fr-wol",
            "data/text_files/fr-wol",
            WOLOF,
            "1.8 MB",
        )),
    },
    Known {
        name: "fr-ewe",
        languages: ["fr", "ewe"],
        licence: NON_COMMERCIAL,
        files: Files::Splits(&mafand(
            "MAFAND-MT fr-ewe",
            "lafand-fr-ewe",
            "data/text_files/fr-ewe",
            EWE,
            "1.1 MB",
        )),
    },
    Known {
        name: "en-hau",
        languages: ["en", "hau"],
        licence: "TWB Gamayun Portal licence: notice to Translators without Borders before public \
                  or commercial use; Copyright 2020, Translators Without Borders – US, Inc.",
        files: Files::Kits(&Part {
            official: official("Gamayun en-hau", "gamayun-en-hau", HAUSA),
            repository: "translatorswb/Gamayun-kits",
            commit: "0a08538d43bf92ffca8820483e8f48dfa57e240a",
            paths: Paths::Each(&[
                "parallel/hau-eng/en-kit5k-v1/gamayun_kit5k-v1_eng-hau_ENG.txt",
                "parallel/hau-eng/en-kit5k-v1/gamayun_kit5k-v1_eng-hau_HAU.txt",
                "parallel/hau-eng/en-kit10k-v1/gamayun_kit10k-v1_eng-hau_ENG.txt",
                "parallel/hau-eng/en-kit10k-v1/gamayun_kit10k-v1_eng-hau_HAU.txt",
                "parallel/hau-eng/en-kit15k-v1/gamayun_kit15k-v1_eng-hau_ENG.txt",
                "parallel/hau-eng/en-kit15k-v1/gamayun_kit15k-v1_eng-hau_HAU.txt",
            ]),
            size: "2.7 MB",
        }),
    },
    Known {
        name: "fr-bam",
        languages: ["fr", "bam"],
        licence: "CC BY-SA 4.0: attribution, and this licence for changed versions.",
        files: Files::Splits(&Part {
            official: official("Bayelemabaga fr-bam", "bayelemabaga-fr-bam", BAMBARA),
            repository: "RobotsMali-AI/datasets",
            commit: "207014ab38c55b520da93e2b29ae0376fd5f81a5",
            paths: Paths::Each(&[
                "bayelemabaga/train/train.fr",
                "bayelemabaga/train/train.bam",
                "bayelemabaga/valid/dev.fr",
                "bayelemabaga/valid/dev.bam",
                "bayelemabaga/test/test.fr",
                "bayelemabaga/test/test.bam",
            ]),
            size: "6.9 MB",
        }),
    },
    Known {
        name: "en-swa-free",
        languages: ["en", "swa"],
        licence: "CC BY 3.0 for the training pairs of Global Voices: attribution; CC0 1.0 for the \
                  other pairs, of TICO-19.",
        files: Files::Free {
            train: &mafand(
                "Global Voices en-swa",
                "lafand-en-swa",
                "data/text_files/en-swa",
                SWAHILI.split_at(2).0,
                "7.3 MB",
            ),
            lines: &tico(TICO_LINES),
            archive: &tico(TICO_ARCHIVE),
        },
    },
];

/// Files of MAFAND-MT in English and Nigerian Pidgin.
const PIDGIN: Digests = &[
    ("train.en", "ccfac3cf6fc41bf1ce7382b8c323997f71454e46aa94e3496784bebfc96a28d3"),
    ("train.pcm", "d2f0aac5b801fc3187dba32f146a6793d216a8758db24ef341e7795b22c02e46"),
    ("dev.en", "11604e3240281e5744314e43f7b81004c0d033b38fb80e9da3a6e8a13d0a39c8"),
    ("dev.pcm", "c9b04dfc26f8463af4c866bf9b7c529a39097bed7875381ed9925687a7acef87"),
    ("test.en", "c4b17a61a52a09e7e0b446ba3f99243be350fed2e3b93c569b74bab7865f9517"),
    ("test.pcm", "d61393d43601714baab3e3cd726be438d4dc1e6951cbf8f8dc644d704ef5bc0b"),
];

/// Files of MAFAND-MT in English and Swahili. The training pairs, which come first, are from Global
/// Voices.
const SWAHILI: Digests = &[
    ("train.en", "bc6c6f0099aea15ad3a3ffa90d510815d55a004cf1a5c5ebdaba725b3fc52ff1"),
    ("train.swa", "561e4e04014ad64ff6f1878cbcb461b08ad0b1128e4813d554ac0c9830409e67"),
    ("dev.en", "1424c085d0a628a3edf3ed683b89fb184811d2c21f7363f179d5b4305222770d"),
    ("dev.swa", "7cc6dd699ac52b86d99ee79667a01dd9981149c484970cec92d679c065960ff6"),
    ("test.en", "584837ea4a3f4729277e8d5ce8f3b65ab7ef2d5ac28451e0cdcf711266bc68a1"),
    ("test.swa", "ec71f7403fb22ac71aba757c841a10ac9501efa2690045013449080a2821d98c"),
];

/// Files of MAFAND-MT in French and Wolof.
const WOLOF: Digests = &[
    ("train.fr", "987c466f9eff9eb0e5eff1d37a0ca9df732906ae7b8e80641272393aa9b0f939"),
    ("train.wol", "25e20bf635e30b594c6588610dfe2b513c29affb41350203d9c008553f6f582f"),
    ("dev.fr", "804afe0c3f493efdce83d51c45f5beb3debb6c25cacd494be800e5fb47daa7d4"),
    ("dev.wol", "7d762845b7afd48cac1f05ba4e3ef157e5fb5b300f84ab2549049e482612791d"),
    ("test.fr", "a1bcd21130ef55231a09ac9a3b5530ac8af3a7f7d47f5e883a1d8e8ef06f3b98"),
    ("test.wol", "50b59b30dadf320882633149e9764537947db2eaf9fca2e68f64ed1767e61709"),
];

/// Files of MAFAND-MT in French and Ewe.
const EWE: Digests = &[
    ("train.fr", "f1466c5b18f1782d41cdf957dae56d21f9198b0cd35582cd4d7f1db971b44717"),
    ("train.ewe", "fcadbbca8afc7022eb548fc63b99fcbcbd4a496a910890e2c13fcad3aa52c63a"),
    ("dev.fr", "96f3f5076eb1858ce87eab6815ff6e61b0ce93270c1b168263e03a8bafbaf3ce"),
    ("dev.ewe", "c6a29ceb363b23f38fc7591bf8a59921df07e7c3e968ca281955ea24b09a54ee"),
    ("test.fr", "35c1f0bb9baa18233f0989b0ea04e9276a74c65bb388db7abbcf59e3c329bbb2"),
    ("test.ewe", "db2dd60a7a1fdde35d45d32d3bc82f61cef46e333c0fc3f71d24f270957fdcdd"),
];

/// Kits of Gamayun in English and Hausa.
const HAUSA: Digests = &[
    ("kit5k.en", "38768fe9eda55fac1dd5132df5d6477dade5241de4d6d7bd79a7d377f505ef94"),
    ("kit5k.hau", "37a6cf35bdb0949c0268c1d60329e37742083748eb3243edcc5a2de7df6c0040"),
    ("kit10k.en", "3a84d2e96ad38710318e6371155fdca434d0d50c1d20a5c5db594f4d61d33096"),
    ("kit10k.hau", "fd741eeb0a04a867317820a24ba8fef23a64240fae2f0b200acc7e98b1c67154"),
    ("kit15k.en", "244236378d4642fe84e1858feaf7b28d3715863fb5d40541ec93423427d154f5"),
    ("kit15k.hau", "b1c4da07d6a22b5e4fbfd3369461001d710232f407acf75549014bbcfeaa06a3"),
];

/// Files of Bayelemabaga in French and Bambara.
const BAMBARA: Digests = &[
    ("train.fr", "a8d9d7979862bbe3bd72d2fdda00cdccc130bbd2a4ba7527c0d1378798afc3db"),
    ("train.bam", "3c8cd0e103e1ae2cc19d11a23f3a1ffb462e63d32bbfff16516e14bbd82c1395"),
    ("dev.fr", "b04feb4f475fba7f32e675860de47cf7c359e591a848eb5e399f2c70fc3bcd8e"),
    ("dev.bam", "178829395bb1e7443d3c47b798885985b8d68b8ea84c3498a4b06c7dda539060"),
    ("test.fr", "2ddec465e6d9abe508790bacd187848c18d5d22274d6d55da17ce61c12137005"),
    ("test.bam", "d672fd2d70a7aebcce7164ef98b193c7034400a0031a85a55f00869ac17f62ac"),
];

/// Lines of TICO-19 in English and Swahili: the sentences of the archive with single spaces.
const TICO_LINES: Digests = &[
    ("en-sw.en", "682278666ec47ea39048fd6302b361ad3f028daced0a49dc88c7c8e0b7d7722d"),
    ("en-sw.sw", "458968780569de2631812364bd79f99aef5997bcce24ddfeb4616a0f585a3a5f"),
];

/// Archive of TICO-19 in English and Swahili.
const TICO_ARCHIVE: Digests =
    &[(ARCHIVE, "665d685b739044f805d254494f6da8f93761f71767b5f63582f8b5792c6c8a06")];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_file_has_a_path_of_its_kind_and_a_digest() {
        for known in &KNOWN {
            let parts = match &known.files {
                Files::Splits(part) | Files::Kits(part) => vec![*part],
                Files::Free { train, lines, archive } => vec![*train, lines, archive],
            };
            for part in parts {
                let files: Vec<_> = part.files().collect();
                assert_eq!(files.len(), part.official.files.len(), "{}", known.name);
                let different = |values: Vec<&str>| values.iter().collect::<HashSet<_>>().len();
                assert_eq!(
                    different(files.iter().map(|(_, path, _)| &**path).collect()),
                    files.len()
                );
                assert_eq!(different(files.iter().map(|file| file.2).collect()), files.len());
                for (name, path, digest) in files {
                    let ending = |name: &str| name[name.len() - 2..].to_lowercase();
                    match path.strip_suffix(".txt") {
                        Some(path) => assert_eq!(path.ends_with("ENG"), name.ends_with("en")),
                        None => assert_eq!(ending(&path), ending(name), "{path}"),
                    }
                    assert!(digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit()));
                }
            }
        }
    }
}
