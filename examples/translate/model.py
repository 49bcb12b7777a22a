"""An encoder-decoder transformer in PyTorch: pre-norm, sinusoidal positions, one embedding for the
source and one for the target and the output.

Shapes: B sentences, S source positions, T target positions, D = d_model, H heads of size D / H.
"""

import dataclasses
import math

import torch
import torch.nn.functional as F
from torch import nn


@dataclasses.dataclass
class Config:
    """What config.json of the exported model says too."""

    vocab_size: int = 8000
    d_model: int = 256
    heads: int = 4
    encoder_layers: int = 4
    decoder_layers: int = 2
    ffn_dim: int = 768
    max_positions: int = 256
    dropout: float = 0.1
    eos: int = 0
    unk: int = 1
    pad: int = 2  # also starts the decoder


def sinusoids(length, width):
    """f32[length, width]: sines in the first half, cosines in the second, as Marian lays them out."""
    position = torch.arange(length).unsqueeze(1)
    frequency = torch.exp(torch.arange(width // 2) * (-math.log(10000.0) / (width // 2)))
    angle = position * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=1)


class Dropout(nn.Module):
    """Drops whole features of a sentence, the same at all its positions: one random number for each of B × D, where
    drawing one for each of B × T × D took a third of a training step."""

    def __init__(self, part):
        super().__init__()
        self.part = part

    def forward(self, x):
        if not self.training or self.part == 0.0:
            return x
        keep = torch.rand(x.shape[0], 1, x.shape[2]) >= self.part
        return x * (keep / (1.0 - self.part)).to(x.dtype)


class Attention(nn.Module):
    """Multi-head attention; keys and values are made apart so that a decoder can keep them."""

    def __init__(self, config):
        super().__init__()
        d = config.d_model
        self.heads = config.heads
        self.q, self.k, self.v, self.out = (nn.Linear(d, d) for _ in range(4))

    def split(self, x):
        b, t, d = x.shape
        return x.view(b, t, self.heads, d // self.heads).transpose(1, 2)

    def keys_values(self, x):
        return self.split(self.k(x)), self.split(self.v(x))

    def forward(self, x, k, v, mask):
        """x f32[B, T, D], k and v f32[B, H, S, D/H], mask f32 added to the scores, or None."""
        q = self.split(self.q(x))
        scores = q @ k.transpose(2, 3) * (1.0 / math.sqrt(q.shape[-1]))
        if mask is not None:
            scores = scores + mask
        y = torch.softmax(scores, dim=-1) @ v
        b, h, t, e = y.shape
        return self.out(y.transpose(1, 2).reshape(b, t, h * e))


class FeedForward(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.up, self.down = nn.Linear(config.d_model, config.ffn_dim), nn.Linear(config.ffn_dim, config.d_model)

    def forward(self, x):
        return self.down(F.relu(self.up(x)))


class EncoderLayer(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.attention, self.ffn = Attention(config), FeedForward(config)
        self.norm1, self.norm2 = nn.LayerNorm(config.d_model), nn.LayerNorm(config.d_model)
        self.dropout = Dropout(config.dropout)

    def forward(self, x, mask):
        y = self.norm1(x)
        x = x + self.dropout(self.attention(y, *self.attention.keys_values(y), mask))
        return x + self.dropout(self.ffn(self.norm2(x)))


class DecoderLayer(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.self_attention, self.cross, self.ffn = Attention(config), Attention(config), FeedForward(config)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(config.d_model) for _ in range(3))
        self.dropout = Dropout(config.dropout)

    def forward(self, x, self_mask, cross_kv, cross_mask, past=None):
        y = self.norm1(x)
        k, v = self.self_attention.keys_values(y)
        if past is not None:
            k, v = torch.cat([past[0], k], dim=2), torch.cat([past[1], v], dim=2)
        x = x + self.dropout(self.self_attention(y, k, v, self_mask))
        x = x + self.dropout(self.cross(self.norm2(x), *cross_kv, cross_mask))
        return x + self.dropout(self.ffn(self.norm3(x))), (k, v)


class Translator(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.source_embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))
        self.register_buffer("positions", sinusoids(config.max_positions, config.d_model), persistent=False)
        self.encoder = nn.ModuleList(EncoderLayer(config) for _ in range(config.encoder_layers))
        self.decoder = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_layers))
        self.encoder_norm, self.decoder_norm = nn.LayerNorm(config.d_model), nn.LayerNorm(config.d_model)
        self.dropout = Dropout(config.dropout)
        for embedding in (self.source_embedding, self.embedding):
            nn.init.normal_(embedding.weight, std=config.d_model**-0.5)
        depth = config.encoder_layers + config.decoder_layers
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
            if isinstance(module, Attention):
                nn.init.xavier_uniform_(module.out.weight, gain=depth**-0.5)
        # Cross-attention starts by handing the source vectors through: with embeddings whose dot products say what
        # translates what (lexicon.py), the first guess is the bag of the translated words.
        for layer in self.decoder:
            for linear, size in ((layer.cross.v, 1.0), (layer.cross.out, 1.0 / config.decoder_layers)):
                linear.weight.data.mul_(0.3).add_(torch.eye(config.d_model) * size)

    def embed(self, table, ids, offset=0):
        x = table(ids) * math.sqrt(self.config.d_model)
        return self.dropout(x + self.positions[offset : offset + ids.shape[1]])

    @staticmethod
    def padding_mask(mask):
        """i64[B, S] of ones and zeros to what is added to scores: 0 or a large negative number, f32[B, 1, 1, S]."""
        return (1.0 - mask[:, None, None, :].to(torch.float32)) * -1e9

    def encode(self, ids, mask):
        x, added = self.embed(self.source_embedding, ids), self.padding_mask(mask)
        for layer in self.encoder:
            x = layer(x, added)
        return self.encoder_norm(x)

    def cross_keys_values(self, memory):
        return [layer.cross.keys_values(memory) for layer in self.decoder]

    def decode(self, ids, cross, mask, past=None):
        """Hidden states f32[B, T, D] and the keys and values of self-attention, `past` included."""
        offset = 0 if past is None else past[0][0].shape[2]
        x, added = self.embed(self.embedding, ids, offset), self.padding_mask(mask)
        t = ids.shape[1]
        causal = None if past is not None else torch.full((t, t), -1e9).triu(1)
        kept = []
        for i, layer in enumerate(self.decoder):
            x, kv = layer(x, causal, cross[i], added, None if past is None else past[i])
            kept.append(kv)
        return self.decoder_norm(x), kept

    def logits(self, hidden):
        return F.linear(hidden, self.embedding.weight, self.bias)

    @torch.no_grad()
    def greedy(self, ids, mask, limit=64):
        """Best token at each step, i64[B, <= limit]; the tests of the export use it."""
        c = self.config
        cross = self.cross_keys_values(self.encode(ids, mask))
        out = torch.full((len(ids), 1), c.pad)
        done, past = torch.zeros(len(ids), dtype=torch.bool), None
        for _ in range(limit):
            hidden, past = self.decode(out[:, -1:], cross, mask, past)
            logits = self.logits(hidden[:, -1])
            logits[:, c.pad] = -torch.inf
            token = logits.argmax(-1).masked_fill(done, c.eos)
            out = torch.cat([out, token[:, None]], dim=1)
            done |= token == c.eos
            if done.all():
                break
        return out[:, 1:]
