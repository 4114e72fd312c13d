//! A vocabulary of subwords, learned from the sentences of both languages.
//!
//! Sources: Sennrich, Haddow and Birch 2016, "Neural machine translation of rare words with subword
//! units" (byte-pair encoding); Provilkov, Emelianenko and Voita 2020, "BPE-Dropout: Simple and
//! effective subword regularization" (dropout of merges).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};

use serde::{Deserialize, Serialize};
use zor_random::Random;

use crate::error::{Error, Result, listed, quoted};
use crate::text::merges::{Merges, Pair};
use crate::text::normalisation::normalised;
use crate::text::words::words;

/// Number of tokens for single bytes.
const N_BYTES: usize = 256;
/// Maximum number of tokens of a vocabulary.
const MAX_SIZE: usize = 1 << 16;
/// Maximum number of characters of a piece.
const MAX_PIECE: usize = 32;
/// Maximum number of characters of a language code.
const MAX_LANGUAGE: usize = 32;
/// Minimum number of occurrences of a character with a token of its own. A character that occurs
/// once is spelled in bytes, so that the network sees bytes in training too.
const MIN_COUNT: u64 = 2;

/// A vocabulary of subwords: it turns a sentence into numbers of tokens, and back.
///
/// The tokens are, in the order of their numbers:
///
/// 1. the end of a sentence, [`Vocabulary::END`];
/// 2. a tag for each language, such as `>>pcm<<`, which tells a network the target language;
/// 3. the 256 bytes, for characters that training has not seen;
/// 4. characters, the most frequent one first;
/// 5. pieces of words, in the order in which they were learned.
///
/// A space belongs to the word after it, and a sentence starts with a space. Every digit is a token
/// of its own. No text is unknown: [`Vocabulary::decode`] restores the normal form of any text
/// ([`normalised`]).
///
/// Read with serde, a vocabulary is checked: a damaged one is an error.
///
/// ```
/// use zor_data::text::Vocabulary;
/// let lines = ["they go home", "dem dey go house"];
/// let vocabulary = Vocabulary::train(lines, 300, &["en", "pcm"])?;
/// let tokens = vocabulary.encode("dey go");
/// assert_eq!(vocabulary.decode(&tokens), "dey go");
/// # Ok::<(), zor_data::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Vocabulary {
    languages: Vec<String>,
    /// Tokens of characters.
    characters: HashMap<char, u32>,
    /// Texts of the tokens after the bytes: characters and pieces.
    pieces: Vec<String>,
    /// Pairs in the order in which they were learned.
    merges: Vec<Pair>,
    /// Place of each pair in `merges`, and the token that it becomes.
    ranks: HashMap<Pair, (u32, u32)>,
}

/// What is stored of a vocabulary.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    languages: Vec<String>,
    characters: String,
    merges: Vec<Pair>,
}

impl Vocabulary {
    /// Token of the end of a sentence.
    pub const END: u32 = 0;

    /// Learns a vocabulary of `size` tokens from sentences of all its languages. It is smaller if
    /// the sentences have fewer pieces that occur twice. The languages are codes such as `pcm`,
    /// each of which has a tag.
    ///
    /// # Errors
    /// When the sentences have no text, the size has no place for tags, bytes and a character or is
    /// over 65,536, or a language is not a code or is there twice.
    pub fn train<S: AsRef<str>>(
        sentences: impl IntoIterator<Item = S>,
        size: usize,
        languages: &[&str],
    ) -> Result<Self> {
        let languages: Vec<String> = languages.iter().map(|&language| language.into()).collect();
        let mut vocabulary = Self::assemble(languages, "", Vec::new()).map_err(Error::input)?;
        let least = vocabulary.len() + 1;
        if size < least || size > MAX_SIZE {
            return Err(Error::input(format!(
                "a vocabulary of {size} tokens is not possible; the size is from {least} to {MAX_SIZE}"
            )));
        }
        let counts = count_words(sentences);
        if counts.is_empty() {
            return Err(Error::input("the sentences have no text to learn a vocabulary from"));
        }
        for character in frequent_characters(&counts).into_iter().take(size - vocabulary.len()) {
            vocabulary.add_character(character);
        }
        let mut ids = vocabulary.ids();
        let mut merges = Merges::new(vocabulary.parts(&counts));
        while vocabulary.len() < size {
            let Some(pair) = merges.best() else { break };
            let piece = vocabulary.add_merge(pair, &mut ids).map_err(Error::input)?;
            merges.merge(pair, piece);
        }
        Ok(vocabulary)
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.first_character() + self.pieces.len()
    }

    /// Always false: there is a token for the end of a sentence.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Languages that have a tag.
    pub fn languages(&self) -> &[String] {
        &self.languages
    }

    /// Token of the tag of a language.
    ///
    /// # Errors
    /// When there is no such language. The message lists the languages.
    pub fn tag(&self, language: &str) -> Result<u32> {
        let place = self.languages.iter().position(|other| other == language);
        place.map(|place| place as u32 + 1).ok_or_else(|| {
            Error::input(format!(
                "the vocabulary has no language {}; its languages are {}",
                quoted(language),
                listed(self.languages.iter().map(String::as_str))
            ))
        })
    }

    /// Name of a token, for people: `</s>` for the end, `>>pcm<<` for a tag, `<0x0A>` for a byte,
    /// and the text of others, with `_` in the place of a space. `None` if there is no such token.
    pub fn name(&self, token: u32) -> Option<String> {
        match self.token(token)? {
            Token::End => Some("</s>".to_owned()),
            Token::Tag(language) => Some(format!(">>{language}<<")),
            Token::Byte(byte) => Some(format!("<0x{byte:02X}>")),
            Token::Piece(text) => Some(text.replace(' ', "_")),
        }
    }

    /// Returns the tokens of a text in its normal form, without tag and end.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        self.encode_skipping(text, || false)
    }

    /// Returns the tokens of a text, where each merge is skipped with a probability. A sentence
    /// thus has many spellings, from which a network learns how words are composed. The published
    /// value is 0.1 (Provilkov et al. 2020). With 0 the tokens are those of [`Vocabulary::encode`],
    /// with 1 they are characters.
    pub fn encode_with_dropout(
        &self,
        text: &str,
        probability: f32,
        random: &mut Random,
    ) -> Vec<u32> {
        self.encode_skipping(text, || random.chance(probability))
    }

    /// Returns the text of tokens. Tags, ends and numbers without a token have no text. Bytes that
    /// are no UTF-8 together become U+FFFD.
    pub fn decode(&self, tokens: &[u32]) -> String {
        let mut bytes = Vec::new();
        for &token in tokens {
            match self.token(token) {
                Some(Token::Byte(byte)) => bytes.push(byte),
                Some(Token::Piece(text)) => bytes.extend_from_slice(text.as_bytes()),
                Some(Token::End | Token::Tag(_)) | None => {}
            }
        }
        let text = String::from_utf8_lossy(&bytes);
        text.strip_prefix(' ').unwrap_or(&text).to_owned()
    }

    fn encode_skipping(&self, text: &str, mut skips: impl FnMut() -> bool) -> Vec<u32> {
        let mut tokens = Vec::new();
        let mut joining = Joining::default();
        for word in words(&marked(text)) {
            joining.start(self, word);
            joining.run(self, &mut skips);
            tokens.extend(joining.tokens());
        }
        tokens
    }

    /// Returns the tokens of a character: its own, or its bytes.
    fn spelling(&self, character: char) -> impl Iterator<Item = u32> {
        let known = self.characters.get(&character).copied();
        let mut buffer = [0; 4];
        let n_bytes = character.encode_utf8(&mut buffer).len();
        let first = self.first_byte() as u32;
        let n_bytes = if known.is_some() { 0 } else { n_bytes };
        known
            .into_iter()
            .chain(buffer.into_iter().take(n_bytes).map(move |byte| first + u32::from(byte)))
    }

    fn token(&self, token: u32) -> Option<Token<'_>> {
        let token = token as usize;
        if let Some(place) = token.checked_sub(self.first_character()) {
            return self.pieces.get(place).map(|text| Token::Piece(text));
        }
        if let Some(byte) = token.checked_sub(self.first_byte()) {
            return u8::try_from(byte).ok().map(Token::Byte);
        }
        match token.checked_sub(1) {
            Some(place) => self.languages.get(place).map(|language| Token::Tag(language)),
            None => Some(Token::End),
        }
    }

    fn first_byte(&self) -> usize {
        1 + self.languages.len()
    }

    fn first_character(&self) -> usize {
        self.first_byte() + N_BYTES
    }

    /// Makes a vocabulary from its parts.
    ///
    /// # Errors
    /// When the parts are not those of a vocabulary. The message is the reason.
    fn assemble(
        languages: Vec<String>,
        characters: &str,
        merges: Vec<Pair>,
    ) -> std::result::Result<Self, String> {
        check_languages(&languages)?;
        let mut vocabulary = Self {
            languages,
            characters: HashMap::new(),
            pieces: Vec::new(),
            merges: Vec::new(),
            ranks: HashMap::new(),
        };
        for character in characters.chars() {
            if character != ' ' && (character.is_whitespace() || character.is_control()) {
                let escaped = character.escape_default();
                return Err(format!("the character {escaped} is not one of normal text"));
            }
            if !vocabulary.add_character(character) {
                return Err(format!("the character '{character}' is there twice"));
            }
        }
        let mut ids = vocabulary.ids();
        for pair in merges {
            vocabulary.add_merge(pair, &mut ids)?;
        }
        match vocabulary.len() <= MAX_SIZE {
            true => Ok(vocabulary),
            false => Err(format!("it has {} tokens, more than {MAX_SIZE}", vocabulary.len())),
        }
    }

    /// Adds a character. Returns false if it is there already.
    fn add_character(&mut self, character: char) -> bool {
        let token = self.len() as u32;
        let is_new = self.characters.insert(character, token).is_none();
        self.pieces.push(character.to_string());
        is_new
    }

    /// Numbers of characters and pieces by their texts.
    fn ids(&self) -> HashMap<String, u32> {
        self.pieces.iter().cloned().zip(self.first_character() as u32..).collect()
    }

    /// Adds a merge and returns its piece, which is new unless another merge has the same text.
    ///
    /// # Errors
    /// When one of the two is not a piece, the merge is there already, or the piece is too long.
    fn add_merge(
        &mut self,
        pair: Pair,
        ids: &mut HashMap<String, u32>,
    ) -> std::result::Result<u32, String> {
        let text = |token: u32| match self.token(token) {
            Some(Token::Piece(text)) => Ok(text),
            _ => Err(format!("token {token} of a merge is not a character or piece before it")),
        };
        let joined = format!("{}{}", text(pair.0)?, text(pair.1)?);
        if self.ranks.contains_key(&pair) {
            return Err(format!("the merge of {} and {} is there twice", pair.0, pair.1));
        }
        if joined.chars().count() > MAX_PIECE {
            return Err(format!("a piece has over {MAX_PIECE} characters"));
        }
        let next = self.len() as u32;
        let piece = *ids.entry(joined).or_insert_with_key(|joined| {
            self.pieces.push(joined.clone());
            next
        });
        self.ranks.insert(pair, (self.merges.len() as u32, piece));
        self.merges.push(pair);
        Ok(piece)
    }

    /// Returns the words to learn from, as tokens of characters. Words end at characters without a
    /// token, and long ones are cut into parts, so that a text without spaces takes little time.
    fn parts(&self, counts: &[(String, u64)]) -> Vec<(Vec<u32>, u64)> {
        let mut parts = Vec::new();
        for (word, count) in counts {
            let tokens: Vec<Option<u32>> =
                word.chars().map(|character| self.characters.get(&character).copied()).collect();
            for part in tokens.split(Option::is_none).flat_map(|part| part.chunks(MAX_PIECE)) {
                if part.len() > 1 {
                    parts.push((part.iter().copied().flatten().collect(), *count));
                }
            }
        }
        parts
    }
}

impl From<Vocabulary> for Stored {
    fn from(vocabulary: Vocabulary) -> Self {
        let n_characters = vocabulary.characters.len();
        let characters = vocabulary.pieces.into_iter().take(n_characters).collect();
        Self { languages: vocabulary.languages, characters, merges: vocabulary.merges }
    }
}

impl TryFrom<Stored> for Vocabulary {
    type Error = Error;

    fn try_from(stored: Stored) -> Result<Self> {
        Self::assemble(stored.languages, &stored.characters, stored.merges)
            .map_err(|message| Error::input(format!("the vocabulary is damaged: {message}")))
    }
}

/// A token by its kind.
enum Token<'a> {
    End,
    Tag(&'a str),
    Byte(u8),
    Piece(&'a str),
}

/// Joins the characters of a word to pieces. Its memory is reused from word to word.
#[derive(Debug, Default)]
struct Joining {
    symbols: Vec<Symbol>,
    /// Pairs of neighbours that can be joined, the one that was learned first at the top. Some are
    /// neighbours no more.
    queue: BinaryHeap<Reverse<Candidate>>,
    /// Candidates that dropout skipped since the last merge.
    skipped: Vec<Candidate>,
}

/// A token of a word, with links to its neighbours.
#[derive(Clone, Copy, Debug)]
struct Symbol {
    /// The token; `None` after it was joined to the one before.
    token: Option<u32>,
    before: Option<usize>,
    after: Option<usize>,
}

/// A pair of neighbours that can be joined: the place of the pair among the merges, and of the
/// first neighbour in the word.
type Candidate = (u32, usize);

impl Joining {
    fn start(&mut self, vocabulary: &Vocabulary, word: &str) {
        self.symbols.clear();
        self.queue.clear();
        for token in word.chars().flat_map(|character| vocabulary.spelling(character)) {
            let place = self.symbols.len();
            let before = place.checked_sub(1);
            if let Some(last) = self.symbols.last_mut() {
                last.after = Some(place);
            }
            self.symbols.push(Symbol { token: Some(token), before, after: None });
        }
        for place in 0..self.symbols.len() {
            self.consider(vocabulary, Some(place));
        }
    }

    /// Joins pairs until none is left, or all that are left are skipped one after the other.
    fn run(&mut self, vocabulary: &Vocabulary, skips: &mut impl FnMut() -> bool) {
        while let Some(Reverse(candidate)) = self.queue.pop() {
            let (rank, place) = candidate;
            let pair = self.pair(place);
            let found = pair.and_then(|pair| vocabulary.ranks.get(&pair));
            let Some(&(_, piece)) = found.filter(|found| found.0 == rank) else { continue };
            if skips() {
                self.skipped.push(candidate);
                continue;
            }
            // After a merge, every pair has its chance again.
            self.queue.extend(self.skipped.drain(..).map(Reverse));
            self.join(place, piece);
            self.consider(vocabulary, self.symbols[place].before);
            self.consider(vocabulary, Some(place));
        }
        self.skipped.clear();
    }

    fn tokens(&self) -> impl Iterator<Item = u32> {
        self.symbols.iter().filter_map(|symbol| symbol.token)
    }

    /// Adds the pair at a place to the queue if it can be joined.
    fn consider(&mut self, vocabulary: &Vocabulary, place: Option<usize>) {
        let Some(place) = place else { return };
        if let Some(&(rank, _)) = self.pair(place).and_then(|pair| vocabulary.ranks.get(&pair)) {
            self.queue.push(Reverse((rank, place)));
        }
    }

    fn pair(&self, place: usize) -> Option<Pair> {
        let symbol = self.symbols.get(place)?;
        Some((symbol.token?, self.symbols.get(symbol.after?)?.token?))
    }

    /// Replaces the symbols at a place and after it with a piece.
    fn join(&mut self, place: usize, piece: u32) {
        let Some(joined) = self.symbols[place].after else { return };
        let after = self.symbols[joined].after;
        self.symbols[joined].token = None;
        self.symbols[place].token = Some(piece);
        self.symbols[place].after = after;
        if let Some(after) = after {
            self.symbols[after].before = Some(place);
        }
    }
}

/// Returns the normal form of a text with a space at its start; nothing if there is no text.
fn marked(text: &str) -> String {
    let text = normalised(text);
    match text.is_empty() {
        true => text,
        false => format!(" {text}"),
    }
}

/// Counts the words of sentences. The words are sorted.
fn count_words<S: AsRef<str>>(sentences: impl IntoIterator<Item = S>) -> Vec<(String, u64)> {
    let mut counts: HashMap<String, u64> = HashMap::new();
    for sentence in sentences {
        for word in words(&marked(sentence.as_ref())) {
            match counts.get_mut(word) {
                Some(count) => *count += 1,
                None => {
                    counts.insert(word.to_owned(), 1);
                }
            }
        }
    }
    let mut counts: Vec<(String, u64)> = counts.into_iter().collect();
    counts.sort_unstable();
    counts
}

/// Returns the characters that get a token, the most frequent one first.
fn frequent_characters(counts: &[(String, u64)]) -> Vec<char> {
    let mut characters: BTreeMap<char, u64> = BTreeMap::new();
    for (word, count) in counts {
        for character in word.chars() {
            *characters.entry(character).or_default() += count;
        }
    }
    let mut characters: Vec<(char, u64)> = characters.into_iter().collect();
    characters.retain(|(_, count)| *count >= MIN_COUNT);
    characters.sort_by_key(|(character, count)| (Reverse(*count), *character));
    characters.into_iter().map(|(character, _)| character).collect()
}

fn check_languages(languages: &[String]) -> std::result::Result<(), String> {
    let mut seen = HashSet::new();
    for language in languages {
        let is_code = (1..=MAX_LANGUAGE).contains(&language.len())
            && language.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        if !is_code {
            return Err(format!(
                "the language {} is not a code; a code such as pcm has up to {MAX_LANGUAGE} letters, \
                 digits, - and _",
                quoted(language)
            ));
        }
        if !seen.insert(language) {
            return Err(format!("the language {} is there twice; name it once", quoted(language)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::normalisation::tests::text;

    const SENTENCES: [&str; 6] = [
        "Police don catch two big tif for Ekiti.",
        "Police say dem don catch di tif wey tif for di big house.",
        "The police have caught two thieves in Ekiti in 2021.",
        "The police say that the thieves were in the big house.",
        "ọ\u{301}rọ\u{300} ọ\u{301}rọ\u{300} ɖe ɖe العالم العالم नमस्ते नमस्ते",
        "Dem no sabi di house wey dem catch am for 2021.",
    ];

    fn trained(size: usize) -> Vocabulary {
        Vocabulary::train(SENTENCES, size, &["en", "pcm"]).unwrap()
    }

    fn names(vocabulary: &Vocabulary, tokens: &[u32]) -> Vec<String> {
        tokens.iter().map(|&token| vocabulary.name(token).unwrap()).collect()
    }

    fn stored(vocabulary: &Vocabulary) -> serde_json::Value {
        serde_json::to_value(vocabulary).unwrap()
    }

    fn refused(stored: serde_json::Value, expected: &str) {
        let read = serde_json::from_value::<Vocabulary>(stored);
        let message = read.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(message.contains(expected), "{message}");
    }

    #[test]
    fn frequent_words_become_pieces_and_rare_ones_are_composed() {
        let vocabulary = trained(400);
        assert_eq!(names(&vocabulary, &vocabulary.encode("The police")), ["_The", "_police"]);
        let tokens = names(&vocabulary, &vocabulary.encode("polite thiefß"));
        assert_eq!(tokens.concat(), "_polite_thief<0xC3><0x9F>");
        assert!(tokens.len() > 6);
    }

    #[test]
    fn any_text_comes_back_in_its_normal_form() {
        let vocabulary = trained(400);
        let texts = [
            "",
            " ",
            "مرحبا بالعالم! كيف حالك؟",
            "שָׁלוֹם עוֹלָם",
            "o\u{323}\u{301} e\u{301}\u{323} \u{301}a",
            "👩‍👩‍👧 👋🏽 🇳🇬 1\u{fe0f}\u{20e3}",
            "<b>Police</b> &amp; <0xC3> >>pcm<< </s> _ \u{2581}",
            "N210,000.50 on 1:30pm ٣५½",
            "你好世界 한국어 नमस्ते",
            "  two   spaces\tand a tab ",
        ];
        for text in texts {
            let tokens = vocabulary.encode(text);
            assert_eq!(vocabulary.decode(&tokens), normalised(text), "{text}");
            let first_byte = 1 + vocabulary.languages().len() as u32;
            assert!(tokens.iter().all(|token| *token >= first_byte), "{text}");
        }
    }

    #[test]
    fn random_texts_come_back_with_any_dropout() {
        let vocabulary = trained(400);
        let mut random = Random::seeded(11);
        for _ in 0..2_000 {
            let text = text(&mut random, 60);
            assert_eq!(vocabulary.decode(&vocabulary.encode(&text)), normalised(&text));
            let probability = random.between(-0.2, 1.2);
            let tokens = vocabulary.encode_with_dropout(&text, probability, &mut random);
            assert_eq!(vocabulary.decode(&tokens), normalised(&text));
        }
    }

    #[test]
    fn random_tokens_are_some_text() {
        let vocabulary = trained(400);
        let mut random = Random::seeded(12);
        for _ in 0..1_000 {
            let tokens: Vec<u32> = (0..20).map(|_| random.below(450) as u32).collect();
            vocabulary.decode(&tokens);
        }
        assert_eq!(vocabulary.decode(&[u32::MAX, Vocabulary::END, 1, 2, 3 + 0xff]), "\u{fffd}");
        assert_eq!(vocabulary.name(vocabulary.len() as u32), None);
    }

    #[test]
    fn digits_are_tokens_of_their_own() {
        let vocabulary = trained(400);
        let tokens = names(&vocabulary, &vocabulary.encode("2021"));
        assert_eq!(tokens, ["_", "2", "0", "2", "1"]);
        assert!(
            vocabulary.pieces.iter().all(|piece| {
                piece.chars().count() == 1 || !piece.chars().any(char::is_numeric)
            })
        );
    }

    #[test]
    fn tags_and_end_are_tokens_that_no_text_has() {
        let vocabulary = trained(300);
        let (en, pcm) = (vocabulary.tag("en").unwrap(), vocabulary.tag("pcm").unwrap());
        assert_eq!((Vocabulary::END, en, pcm), (0, 1, 2));
        assert_eq!(names(&vocabulary, &[0, 1, 2, 3]), ["</s>", ">>en<<", ">>pcm<<", "<0x00>"]);
        let message = vocabulary.tag("fr").unwrap_err().to_string();
        assert!(message.ends_with("no language 'fr'; its languages are 'en', 'pcm'"), "{message}");
    }

    #[test]
    fn equal_sentences_give_equal_vocabularies_in_any_order() {
        let vocabulary = trained(400);
        for _ in 0..5 {
            assert_eq!(trained(400), vocabulary);
        }
        let reversed = Vocabulary::train(SENTENCES.iter().rev(), 400, &["en", "pcm"]).unwrap();
        assert_eq!(reversed, vocabulary);
        let smaller = trained(330);
        assert_eq!(smaller.merges, vocabulary.merges[..smaller.merges.len()]);
    }

    #[test]
    fn merges_apply_in_the_order_of_learning() {
        let vocabulary = trained(400);
        let mut random = Random::seeded(13);
        for _ in 0..300 {
            let sentence = SENTENCES[random.below(SENTENCES.len())];
            let mut expected = Vec::new();
            for word in words(&marked(sentence)) {
                let mut tokens: Vec<u32> =
                    word.chars().flat_map(|character| vocabulary.spelling(character)).collect();
                while let Some((rank, place)) = (1..tokens.len())
                    .filter_map(|place| {
                        let pair = (tokens[place - 1], tokens[place]);
                        vocabulary.ranks.get(&pair).map(|(rank, _)| (*rank, place))
                    })
                    .min()
                {
                    tokens[place - 1] = vocabulary.ranks[&vocabulary.merges[rank as usize]].1;
                    tokens.remove(place);
                }
                expected.extend(tokens);
            }
            assert_eq!(vocabulary.encode(sentence), expected);
        }
    }

    #[test]
    fn dropout_splits_words_as_often_as_its_probability_says() {
        let vocabulary = trained(400);
        let mut random = Random::seeded(14);
        let mut lengths = |probability: f32| -> usize {
            let mut encode =
                |line: &str| vocabulary.encode_with_dropout(line, probability, &mut random).len();
            (0..50).map(|_| SENTENCES.iter().map(|line| encode(line)).sum::<usize>()).sum()
        };
        let whole: usize = SENTENCES.iter().map(|line| vocabulary.encode(line).len()).sum();
        assert_eq!(lengths(0.0), 50 * whole);
        assert!(lengths(0.0) < lengths(0.1) && lengths(0.1) < lengths(0.5));
        let spelled: usize = SENTENCES
            .iter()
            .flat_map(|line| marked(line).chars().collect::<Vec<_>>())
            .map(|character| vocabulary.spelling(character).count())
            .sum();
        assert_eq!(lengths(1.0), 50 * spelled);
        // The word ` ab` is joined by two merges, one after the other.
        let pair = Vocabulary::train(["ab ab"], 300, &[]).unwrap();
        let mut counts = [0; 4];
        for _ in 0..10_000 {
            counts[pair.encode_with_dropout("ab", 0.1, &mut random).len()] += 1;
        }
        assert!((900..1_100).contains(&counts[3]) && (800..1_000).contains(&counts[2]));
        assert_eq!(counts[1] + counts[2] + counts[3], 10_000);
    }

    #[test]
    fn dropout_repeats_with_its_generator() {
        let vocabulary = trained(400);
        let draw = |seed| {
            let mut random = Random::seeded(seed);
            SENTENCES.map(|line| vocabulary.encode_with_dropout(line, 0.3, &mut random))
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn a_vocabulary_comes_back_from_serde() {
        let vocabulary = trained(400);
        let text = serde_json::to_string(&vocabulary).unwrap();
        let again: Vocabulary = serde_json::from_str(&text).unwrap();
        assert_eq!(again, vocabulary);
        assert_eq!(again.encode(SENTENCES[0]), vocabulary.encode(SENTENCES[0]));
    }

    #[test]
    fn a_damaged_vocabulary_is_refused() {
        let good = stored(&trained(400));
        let with = |key: &str, value: serde_json::Value| {
            let mut damaged = good.clone();
            damaged[key] = value;
            damaged
        };
        refused(with("merges", serde_json::json!([[0, 300]])), "token 0 of a merge is not");
        refused(with("merges", serde_json::json!([[300, 258]])), "token 258 of a merge is not");
        refused(with("merges", serde_json::json!([[4_000_000_000u32, 300]])), "of a merge is not");
        refused(with("merges", serde_json::json!([[300, -1]])), "invalid value");
        refused(with("merges", serde_json::json!([[280, 281], [280, 281]])), "is there twice");
        refused(with("characters", "aba".into()), "the character 'a' is there twice");
        refused(with("characters", "a\n".into()), "the character \\n is not one of normal text");
        refused(with("languages", serde_json::json!(["en", "en"])), "'en' is there twice");
        refused(with("languages", serde_json::json!(["e n"])), "'e n' is not a code");
        refused(with("extra", 1.into()), "unknown field");
        let many: String = (0x1_0000..0x2_1000).filter_map(char::from_u32).collect();
        refused(with("characters", many.into()), "more than 65536");
        // Each merge doubles the piece.
        let mut doubled = with("characters", "a".into());
        doubled["merges"] = (0..60).map(|n| serde_json::json!([259 + n, 259 + n])).collect();
        refused(doubled, "a piece has over 32 characters");
    }

    #[test]
    fn random_damage_is_an_error_or_a_vocabulary_that_works() {
        let text = serde_json::to_string(&trained(330)).unwrap();
        let mut random = Random::seeded(15);
        for _ in 0..500 {
            let mut bytes = text.clone().into_bytes();
            for _ in 0..1 + random.below(3) {
                let place = random.below(bytes.len());
                bytes[place] = b"0123456789,[]\"ab "[random.below(17)];
            }
            if let Ok(vocabulary) = serde_json::from_slice::<Vocabulary>(&bytes) {
                let tokens = vocabulary.encode(SENTENCES[1]);
                assert_eq!(vocabulary.decode(&tokens), SENTENCES[1]);
            }
        }
    }

    #[test]
    fn sizes_and_texts_without_use_are_refused() {
        let message = |read: Result<Vocabulary>| read.unwrap_err().to_string();
        let train = |size| Vocabulary::train(SENTENCES, size, &["en", "pcm"]);
        assert!(message(train(259)).ends_with("the size is from 260 to 65536"));
        assert!(message(train(1 << 20)).ends_with("the size is from 260 to 65536"));
        assert_eq!(train(260).unwrap().len(), 260);
        let empty = Vocabulary::train([" ", "\u{7}"], 300, &[]);
        assert!(message(empty).contains("have no text"));
        let wrong = Vocabulary::train(SENTENCES, 300, &[">>pcm<<"]);
        assert!(message(wrong).contains("'>>pcm<<' is not a code"));
    }

    #[test]
    fn a_vocabulary_without_more_pairs_is_smaller() {
        let vocabulary = Vocabulary::train(["ab ab c"], 1_000, &[]).unwrap();
        // The end, the bytes, three characters that occur twice, and two pieces.
        assert_eq!(vocabulary.len(), 1 + 256 + 3 + 2);
        assert_eq!(names(&vocabulary, &vocabulary.encode("ab c")), ["_ab", "_", "<0x63>"]);
    }

    #[test]
    fn a_long_text_without_spaces_takes_little_time() {
        let long = "dem dey go ".repeat(20_000).replace(' ', "");
        let vocabulary = Vocabulary::train([&long], 400, &[]).unwrap();
        let tokens = vocabulary.encode(&long);
        assert_eq!(vocabulary.decode(&tokens), long);
        let tokens = vocabulary.encode_with_dropout(&long, 0.5, &mut Random::seeded(1));
        assert_eq!(vocabulary.decode(&tokens), long);
    }
}
