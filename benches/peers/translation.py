"""Trains a translation network in PyTorch on the CPU, translates a test set and scores it.

- `rectified`: one stack over source and target with rectified attention (Zhang, Titov and Sennrich 2021, arXiv 2104.07012), rotary places (Su et
  al. 2021), an output that copies the token behind a position, and Muon (Jordan et al. 2024) for matrices;
- `softmax`: its attention is softmax attention, without the norm behind it;
- `transformer`: encoder and decoder in the low-resource settings of Araabi and Monz 2020 (arXiv 2011.02266) for the nearest number of pairs, with
  feed-forward units in proportion to the width, norms before each sublayer, and AdamW.

Files have one sentence a line. `--steps`, `--seconds` or both are the budget of training; its clock runs during steps alone. `--time-steps N` only
times N steps after three others. `--time-decode` only times the translation of the test set on one thread, with few steps of training or none.
Prints one JSON object; memory is the peak before training and at the end. Progress is on standard error.
"""

import argparse
import json
import math
import random
import resource
import statistics
import sys
import time
from functools import partial

import sacrebleu
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import nn
from torch.nn import functional as F

from reconstruction import orthogonal

# The end of a sentence, which pads too, and a tag for each direction, which starts source and target.
SPECIAL = ["<end>", "<forward>", "<back>"]
END, FORWARD, BACK = range(3)
LAYERS_AND_HEADS = {"rectified": (4, 4), "softmax": (4, 4), "transformer": (5, 2)}
# By pairs: units of the feed-forward layer by width, label smoothing, decoder layer drop, word dropout of source and target.
LOW_RESOURCE = {5_000: (1, 0.6, 0.3, 0.0, 0.1), 10_000: (2, 0.5, 0.2, 0.0, 0.1)}
LOW_RESOURCE |= {20_000: (2, 0.5, 0.2, 0.1, 0.1), 40_000: (4, 0.5, 0.1, 0.1, 0.1)}
COUNTS = dict.fromkeys(("steps", "time-steps", "width", "layers", "heads")) | {"parameters": 1_600_000, "beam": 4}
COUNTS |= {"vocabulary": 3000, "tokens": 2500, "dev-every": 500, "threads": 1, "seed": 1}
NUMBERS = {"seconds": None, "learning-rate": 2e-3}
WARM_UP_STEPS, MUON_RATE = 50, 0.02
# Columns of a copying query, tokens of the longest side to train on, sentences of a batch in decoding and of a development score.
COPYING, LONGEST, DECODED, DEVELOPMENT = 64, 100, 64, 200

softmax = partial(torch.softmax, dim=-1)


def padded(rows):
    """Tokens of sentences `[sentences, positions]`, the places of positions, and lengths `[sentences, 1]`."""
    lengths = torch.tensor([[len(row)] for row in rows])
    longest = int(lengths.max())
    return torch.tensor([row + [END] * (longest - len(row)) for row in rows]), torch.arange(longest), lengths


def hiding(visible):
    """Summand for scores, with an axis for the heads."""
    return torch.where(visible, 0.0, -1e9).unsqueeze(1)


def turns(places, size):
    """Rotations of pairs of columns, as complex numbers."""
    angles = places.unsqueeze(-1) * 1000.0 ** (-torch.arange(0, size, 2) / size)
    return torch.polar(torch.ones_like(angles), angles)


def rotated(x, turns):
    return torch.view_as_real(torch.view_as_complex(x.unflatten(-1, (-1, 2))) * turns).flatten(-2)


class Kept:
    """Keys and values. Those of the source are `[sentences, heads, positions, size]`, with a summand for scores that hides some positions. Those of
    earlier targets are `[sentences, beams, heads, positions, size]`."""

    def __init__(self, *source):
        self.source, self.past = source, ()

    def append(self, key, value):
        new = [tensor.transpose(1, 2).unsqueeze(3) for tensor in (key, value)]
        self.past = [torch.cat(pair, 3) for pair in zip(self.past, new)] if self.past else new

    def select(self, sentences, parents):
        """Keeps these sentences, and the beams `parents` of each."""
        if self.source and len(sentences) < len(self.source[0]):
            self.source = [tensor[sentences] for tensor in self.source]
        if self.past:
            rows = (parents + sentences.unsqueeze(1) * self.past[0].shape[1]).flatten()
            self.past = [tensor.flatten(0, 1).index_select(0, rows).unflatten(0, parents.shape) for tensor in self.past]

    def attend(self, query, weigh):
        """Output for queries `[sentences, heads, positions or beams, size]`, with the heads side by side."""
        query = query * query.shape[-1] ** -0.5
        scores = [(query @ self.source[0].mT).add_(self.source[2])] if self.source else []
        if self.past:
            scores.append((query.transpose(1, 2).unsqueeze(3) @ self.past[0].mT).squeeze(3).transpose(1, 2))
        weights = weigh(torch.cat(scores, -1) if self.source and self.past else scores[0])
        n = scores[0].shape[-1] if self.source else 0
        output = (weights[..., :n] @ self.source[1]).transpose(1, 2) if self.source else 0
        if self.past:
            output = output + (weights[..., n:].transpose(1, 2).unsqueeze(3) @ self.past[1]).squeeze(3)
        return output.flatten(-2)


class Layer(nn.Module):
    """Attention, attention of a decoder to its source, and ReLU units, with a norm before each."""

    def __init__(self, width, heads, units, dropout, norm, weigh=softmax, is_decoder=False):
        super().__init__()
        self.heads, self.weigh, self.dropout = heads, weigh, nn.Dropout(dropout)
        self.norms = nn.ModuleList(norm(width) for _ in range(3 if is_decoder else 2))
        self.behind = nn.Identity() if weigh is softmax else norm(width)
        bias = norm is nn.LayerNorm
        self.qkv, self.out = nn.Linear(width, 3 * width, bias), nn.Linear(width, width, bias)
        if is_decoder:
            self.source_query, self.source_out = nn.Linear(width, width), nn.Linear(width, width)
            self.source_kv = nn.Linear(width, 2 * width)
        self.up, self.down = nn.Linear(width, units, bias), nn.Linear(units, width, bias)

    def parts(self, x, count):
        """Parts of a projection, `[sentences, heads, positions, size]` each."""
        return [part.transpose(1, 2).contiguous() for part in x.unflatten(-1, (count, self.heads, -1)).unbind(-3)]

    def forward(self, x, kept, hidden=None, turned=None, source=None):
        """All positions attend to one another, except where `hidden`; without it, each attends to `kept` and itself."""
        query, key, value = self.parts(self.qkv(self.norms[0](x)), 3)
        if turned is not None:
            query, key = rotated(query, turned), rotated(key, turned)
        if hidden is None:
            kept.append(key, value)
        else:
            kept.source = (key, value, hidden)
        x = x + self.dropout(self.out(self.behind(kept.attend(query, self.weigh))))
        if source:
            query = self.parts(self.source_query(self.norms[1](x)), 1)[0]
            x = x + self.dropout(self.source_out(source.attend(query, self.weigh)))
        return x + self.dropout(self.down(self.dropout(torch.relu(self.up(self.norms[-1](x))))))


class PrefixNetwork(nn.Module):
    """One stack: source positions see one another, target positions the source and earlier targets."""

    def __init__(self, weigh, vocabulary, layers, heads, width, dropout=0.2):
        super().__init__()
        self.embedding = nn.Parameter(torch.randn(vocabulary, width) * width**-0.5)
        self.part = nn.Parameter(torch.randn(2, width) * 0.5)
        stack = (Layer(width, heads, 4 * width, dropout, nn.RMSNorm, weigh) for _ in range(layers))
        self.layers, self.top, self.dropout = nn.ModuleList(stack), nn.RMSNorm(width), nn.Dropout(dropout)
        self.copy, self.size = nn.Linear(width, 2 * COPYING, bias=False), width // heads
        self.copy.weight.data[COPYING:] = self.copy.weight.data[:COPYING]
        self.label_smoothing = 0.1

    def run(self, tokens, is_target, places, kept, hidden=None):
        """Returns the top, and queries and keys of the copying output."""
        x = F.embedding(tokens, self.embedding) * self.embedding.shape[1] ** 0.5
        x = self.dropout(x + F.embedding(is_target.long(), self.part))
        turned = turns(places.unsqueeze(-2), self.size)
        for layer, keeps in zip(self.layers, kept):
            x = layer(x, keeps, hidden, turned)
        x, turned = self.top(x), turns(places, COPYING)
        query, key = (rotated(part.contiguous(), turned) for part in self.copy(x).chunk(2, -1))
        return x, query * COPYING**-0.5, key

    def forward(self, sources, targets):
        """Returns logits for all target positions of a batch, one sentence after another."""
        tokens, place, lengths = padded([source + target for source, target in zip(sources, targets)])
        prefix = torch.tensor([[len(source)] for source in sources])
        is_source, longest = place < prefix, int(prefix.max())
        hidden, kept = hiding(place < torch.maximum(prefix, place + 1).unsqueeze(-1)), [Kept() for _ in self.layers]
        x, query, key = self.run(tokens, ~is_source, place - prefix * ~is_source, kept, hidden)
        copied = torch.relu(query @ (key * is_source.unsqueeze(-1))[:, :longest].mT)
        sources, chosen = tokens[:, None, 1 : longest + 1].expand_as(copied), ~is_source & (place < lengths)
        return (x[chosen] @ self.embedding.T).scatter_add_(-1, sources[chosen], copied[chosen])

    def start(self, sources):
        """Returns keys and values of source sentences for decoding."""
        tokens, place, lengths = padded(sources)
        is_source, kept = place < lengths, [Kept() for _ in self.layers]
        key = self.run(tokens, torch.zeros_like(tokens), place, kept, hiding(is_source.unsqueeze(1)))[2]
        return [*kept, Kept(key * is_source.unsqueeze(-1), F.pad(tokens[:, 1:], (0, 1)))]

    def step(self, tokens, place, kept):
        """Returns logits of the token after `tokens`, `[sentences, beams]`."""
        x, query, _ = self.run(tokens, torch.ones_like(tokens), place, kept)
        keys, sources = kept[-1].source
        copied = torch.relu(query @ keys.mT)
        return (x @ self.embedding.T).scatter_add_(-1, sources.unsqueeze(1).expand_as(copied), copied)


class Transformer(nn.Module):
    """Encoder and decoder, with one embedding for source, target and output."""

    def __init__(self, settings, vocabulary, layers, heads, width, dropout=0.3):
        super().__init__()
        units, self.label_smoothing, self.layer_drop, *self.word_dropout = settings
        self.embedding = nn.Parameter(torch.randn(vocabulary, width) * width**-0.5)
        settings = (width, heads, units * width, dropout, nn.LayerNorm)
        self.encoder = nn.ModuleList(Layer(*settings) for _ in range(layers))
        self.decoder = nn.ModuleList(Layer(*settings, is_decoder=True) for _ in range(layers))
        self.tops, self.dropout = nn.ModuleList(nn.LayerNorm(width) for _ in range(2)), nn.Dropout(dropout)

    def embed(self, tokens, places, word_dropout):
        x = F.embedding(tokens, self.embedding) * self.embedding.shape[1] ** 0.5
        x = x * F.dropout(torch.ones(*tokens.shape, 1), word_dropout, self.training)
        angles = places.unsqueeze(-1) * 1e4 ** (-torch.arange(0, x.shape[-1], 2) / x.shape[-1])
        return self.dropout(x + torch.cat([angles.sin(), angles.cos()], -1))

    def start(self, sources):
        tokens, place, lengths = padded(sources)
        hidden = hiding((place < lengths).unsqueeze(1))
        x = self.embed(tokens, place, self.word_dropout[0])
        for layer in self.encoder:
            x = layer(x, Kept(), hidden)
        x = self.tops[0](x)
        sources = [Kept(*layer.parts(layer.source_kv(x), 2), hidden) for layer in self.decoder]
        return [Kept() for _ in sources] + sources

    def run(self, x, kept, hidden=None):
        for layer, own, source in zip(self.decoder, kept, kept[len(self.decoder) :]):
            if not self.training or random.random() >= self.layer_drop:
                x = layer(x, own, hidden, source=source)
        return self.tops[1](x)

    def forward(self, sources, targets):
        tokens, place, lengths = padded(targets)
        hidden = hiding((place <= place.unsqueeze(-1)).unsqueeze(0))
        x = self.run(self.embed(tokens, place, self.word_dropout[1]), self.start(sources), hidden)
        return x[place < lengths] @ self.embedding.T

    def step(self, tokens, place, kept):
        return self.run(self.embed(tokens, place, 0.0), kept) @ self.embedding.T


def build(a, vocabulary, pairs):
    """Returns the network of the settings. Its width is given or follows from the number of parameters."""
    layers, heads = (given or usual for given, usual in zip((a.layers, a.heads), LAYERS_AND_HEADS[a.network]))
    step = 2 * heads
    if a.width and a.width % step:
        sys.exit(f"--width {a.width} is not a multiple of {step}; give a multiple, or half as many --heads")
    low_resource = LOW_RESOURCE[min(LOW_RESOURCE, key=lambda size: abs(math.log(size / pairs)))]
    kinds = {"rectified": partial(PrefixNetwork, torch.relu), "softmax": partial(PrefixNetwork, softmax)}
    kind = partial(kinds.get(a.network, partial(Transformer, low_resource)), vocabulary, layers, heads)
    # A width of n steps has square * n**2 + linear * n parameters.
    once, twice = (sum(map(torch.numel, kind(step * n).parameters())) for n in (1, 2))
    square, linear = twice / 2 - once, 2 * once - twice / 2
    n = (math.sqrt(linear**2 + 4 * square * a.parameters) - linear) / (2 * square)
    return kind(a.width or step * max(1, round(n)))


class Trainer:
    """Muon for the matrices of a prefix network, and AdamW for all other parameters."""

    def __init__(self, network, rate):
        self.network, self.rate = network, rate
        matrices = [module.weight for module in network.modules() if isinstance(module, nn.Linear)]
        self.momenta = {m: torch.zeros_like(m) for m in matrices if isinstance(network, PrefixNetwork)}
        others = [parameter for parameter in network.parameters() if parameter not in self.momenta]
        self.adamw = torch.optim.AdamW(others, betas=(0.9, 0.98), weight_decay=0.01, fused=True)

    def step(self, batch, scale):
        """Trains on a batch with rates times `scale`, and returns the loss."""
        sources, targets = zip(*batch)
        labels = torch.tensor([token for target in targets for token in target[1:] + [END]])
        self.network.zero_grad(set_to_none=True)
        loss = F.cross_entropy(self.network(sources, targets), labels, label_smoothing=self.network.label_smoothing)
        loss.backward()
        self.adamw.param_groups[0]["lr"] = scale * self.rate
        self.adamw.step()
        with torch.no_grad():
            for matrix, momentum in self.momenta.items():
                self.move(matrix, momentum, scale * MUON_RATE)
        return loss.item()

    def move(self, matrix, momentum, rate):
        direction, columns = matrix.grad.add(momentum.mul_(0.95).add_(matrix.grad), alpha=0.95), matrix.shape[1]
        # Queries, keys and values are matrices of their own.
        parts = direction.split(columns) if len(direction) == 3 * columns else [direction]
        scale = rate * max(1, len(parts[0]) / columns) ** 0.5
        matrix.mul_(1 - 0.1 * rate).add_(torch.cat([orthogonal(part) for part in parts]), alpha=-scale)


def batches(examples, tokens, key):
    """Batches of examples without end. They have similar lengths, as measured by `key` of both sides."""
    while True:
        epoch, room = [], 0
        for sides in sorted(examples, key=lambda sides: key(map(len, sides)) * random.uniform(0.9, 1.1)):
            room -= sum(map(len, sides))
            if room < 0:
                epoch.append([])
                room = tokens - sum(map(len, sides))
            epoch[-1].append(sides)
        random.shuffle(epoch)
        yield from epoch


def search(network, sources, tag, beams):
    """Returns the translations with the best mean log-probability that beam search finds."""
    kept, most = network.start(sources), [3 * len(source) // 2 + 8 for source in sources]
    alive, ended = list(range(len(sources))), [[] for _ in sources]
    tokens, scores = torch.full((len(sources), 1), tag), torch.zeros(len(sources), 1)
    history, place = torch.zeros(len(sources), 1, 0, dtype=torch.long), 0
    while alive:
        scores = scores.unsqueeze(-1) + network.step(tokens, torch.tensor([place]), kept).log_softmax(-1)
        place, vocabulary = place + 1, scores.shape[-1]
        scores, chosen = scores.flatten(1).topk(min(2 * beams, vocabulary))
        parents, tokens = chosen // vocabulary, chosen % vocabulary
        for row, beam in (tokens[:, :beams] == END).nonzero().tolist():
            ended[alive[row]].append((scores[row, beam].item() / place, history[row, parents[row, beam]].tolist()))
        # The beams of the next step are the best that have no end.
        order = (tokens == END).sort(stable=True).indices[:, :beams]
        scores, parents, tokens = (tensor.gather(1, order) for tensor in (scores, parents, tokens))
        history = torch.cat([history[torch.arange(len(alive)).unsqueeze(1), parents], tokens.unsqueeze(-1)], -1)
        for row, i in enumerate(alive):
            if place == most[i] and not ended[i]:
                ended[i].append((scores[row, 0].item() / place, history[row, 0].tolist()))
        going = [row for row, i in enumerate(alive) if len(ended[i]) < beams and place < most[i]]
        alive, going = [alive[row] for row in going], torch.tensor(going, dtype=torch.long)
        scores, parents, tokens, history = (tensor[going] for tensor in (scores, parents, tokens, history))
        for keeps in kept:
            keeps.select(going, parents)
    return [max(found)[1] for found in ended]


@torch.inference_mode()
def translate(network, sources, tag, beams):
    """Returns translations of sentences, and the seconds."""
    network.eval()
    start, results = time.perf_counter(), {}
    order = sorted((i for i, source in enumerate(sources) if len(source) > 1), key=lambda i: len(sources[i]))
    for first in range(0, len(order), DECODED):
        chunk = order[first : first + DECODED]
        results |= zip(chunk, search(network, [sources[i] for i in chunk], tag, beams))
    network.train()
    return [results.get(i, []) for i in range(len(sources))], time.perf_counter() - start


def learn_vocabulary(sentences, size):
    """Joint subwords of both languages. Characters that training has not seen are spelled in bytes."""
    vocabulary = Tokenizer(models.BPE(byte_fallback=True))
    vocabulary.normalizer = normalizers.NFC()
    splits = [pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation(), pre_tokenizers.Digits(True)]
    vocabulary.pre_tokenizer = pre_tokenizers.Sequence(splits)
    vocabulary.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])
    special = SPECIAL + [f"<0x{byte:02X}>" for byte in range(256)]
    settings = {"vocab_size": size, "special_tokens": special, "min_frequency": 2, "show_progress": False}
    vocabulary.train_from_iterator(sentences, trainers.BpeTrainer(**settings))
    # Text that looks like a special token is text.
    vocabulary.encode_special_tokens = True
    return vocabulary


def sentences(path):
    """Lines of a file."""
    lines = []
    try:
        with open(path, "rb") as file:
            lines.extend(line.decode().rstrip("\r\n") for line in file)
    except (OSError, UnicodeError) as error:
        message = f"{path}, line {len(lines) + 1}: {error}; give text in UTF-8 with one sentence a line"
        raise argparse.ArgumentTypeError(message) from error
    return lines


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=LAYERS_AND_HEADS, required=True)
    for name in (sets := ("train", "dev", "test")):
        parser.add_argument(f"--{name}", nargs=2, type=sentences, metavar=("SOURCE", "TARGET"), required=True)
    parser.add_argument("--output", metavar="FILE", help="file for the translations of the test set")
    for name in ("both-directions", "time-decode"):
        parser.add_argument(f"--{name}", action="store_true")
    for name, default in (COUNTS | NUMBERS).items():
        kind = float if name in NUMBERS else int
        parser.add_argument(f"--{name}", type=kind, default=default, help=default and f"default: {default}")
    a = parser.parse_args()
    for name, value in vars(a).items():
        if type(value) in (int, float) and not value > 0:
            parser.error(f"--{name.replace('_', '-')} is {value}; give a number above 0")
        if name in sets and not 0 < len(value[0]) == len(value[1]):
            parser.error(f"--{name} has {len(value[0])} and {len(value[1])} lines; give pairs of lines")
    if not (a.steps or a.seconds or a.time_steps or a.time_decode):
        parser.error("training has no budget; give --steps, --seconds or both")
    try:
        a.output = a.output and open(a.output, "w", encoding="utf-8")
    except OSError as error:
        parser.error(f"--output: {error}; give a file in a folder that exists")
    return a


def main():
    a = arguments()
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    random.seed(a.seed)
    vocabulary = learn_vocabulary(a.train[0] + a.train[1], a.vocabulary)

    def encode(texts, tag):
        return [[tag] + encoding.ids for encoding in vocabulary.encode_batch(texts)]

    examples = list(zip(*(encode(side, FORWARD) for side in a.train)))
    examples = [sides for sides in examples if all(1 < len(side) <= LONGEST for side in sides)]
    if not examples:
        sys.exit(f"--train: no pair has 1 to {LONGEST - 1} tokens on each side; give shorter sentences")
    network = build(a, vocabulary.get_vocab_size(), len(examples))
    result = {"network": a.network, "parameters": sum(map(torch.numel, network.parameters()))}
    result |= {"pairs": len(examples), "vocabulary": vocabulary.get_vocab_size()}
    if a.both_directions:
        examples += [tuple([BACK] + side[1:] for side in sides[::-1]) for sides in examples]

    def evaluate(sources, references, tag, beams):
        """Returns translations, and their scores and cost."""
        results, seconds = translate(network, encode(sources, tag), tag, beams)
        texts = [[token for token in tokens if token > BACK] for tokens in results]
        hypotheses = vocabulary.decode_batch(texts, skip_special_tokens=False)
        scores = {"bleu": sacrebleu.corpus_bleu, "chrf": sacrebleu.corpus_chrf}
        scores = {name: score(hypotheses, [references]).score / 100 for name, score in scores.items()}
        return hypotheses, scores | {"decode_seconds": seconds, "decode_tokens": sum(map(len, results))}

    # A Transformer pads source and target apart.
    queue = batches(examples, a.tokens, max if a.network == "transformer" else sum)
    steps = a.time_steps + 3 if a.time_steps else a.steps or (math.inf if a.seconds else 0)
    seconds = a.seconds if a.seconds and not a.time_steps else math.inf
    trainer, times, n_tokens = Trainer(network, a.learning_rate), [], 0
    result["start_memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024e-6
    while steps and (fraction := max(len(times) / steps, sum(times) / seconds)) < 1:
        start = time.perf_counter()
        batch = next(queue)
        loss = trainer.step(batch, min(1, (len(times) + 1) / WARM_UP_STEPS) * (1 - fraction))
        times.append(time.perf_counter() - start)
        n_tokens += sum(len(source) + len(target) for source, target in batch)
        if len(times) % a.dev_every == 0 and not (a.time_steps or a.time_decode):
            scores = evaluate(*(side[:DEVELOPMENT] for side in a.dev), FORWARD, 1)[1]
            print(f"step {len(times)}, {sum(times):.0f} s: loss {loss:.3f}, {scores}", file=sys.stderr)
    result |= {"steps": len(times), "train_seconds": sum(times)}
    if times:
        result["seconds_per_step"] = statistics.median(times[3:] if a.time_steps else times)
        result["tokens_per_second"] = n_tokens / sum(times)
    if not a.time_steps:
        torch.set_num_threads(1 if a.time_decode else a.threads)
        hypotheses, scores = evaluate(*a.test, FORWARD, a.beam)
        result |= scores
        if a.both_directions and not a.time_decode:
            result["back"] = evaluate(*a.test[::-1], BACK, a.beam)[1]
        if a.output:
            a.output.writelines(f"{hypothesis}\n" for hypothesis in hypotheses)
    result["peak_memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024e-6
    print(json.dumps(result | {"torch": torch.__version__}))


if __name__ == "__main__":
    main()
