"""Word translation by IBM Model 1, and embeddings made of it.

A small network that sees little text spends most of its training on learning which piece translates to which. Counting
does that in a minute: expectation maximisation over the training pairs gives expected co-translation counts, and a
truncated singular value decomposition of their (shifted, positive) mutual information gives a source and a target
vector to each piece whose dot product says how well one translates the other. Training starts from these.
"""

import numpy as np


def expected_counts(pairs, weights, size, rounds=4):
    """Sparse expected counts of (source piece, target piece) under IBM Model 1, averaged over both directions.

    pairs: lists of piece ids without </s>. Returns (source ids, target ids, counts), f32[N] each.
    """
    keys, groups_t, groups_s, weight, t_base, s_base = [], [], [], [], 0, 0
    for (s, t), w in zip(pairs, weights):
        s, t = np.asarray(s, np.int64), np.asarray(t, np.int64)
        keys.append((s[None, :] * size + t[:, None]).ravel())
        groups_t.append(np.repeat(np.arange(len(t)) + t_base, len(s)))
        groups_s.append(np.tile(np.arange(len(s)) + s_base, len(t)))
        weight.append(np.full(len(s) * len(t), w, np.float32))
        t_base, s_base = t_base + len(t), s_base + len(s)
    keys, inverse = np.unique(np.concatenate(keys), return_inverse=True)
    groups_t, groups_s, weight = np.concatenate(groups_t), np.concatenate(groups_s), np.concatenate(weight)
    source, target = keys // size, keys % size
    total = 0.0
    for groups, n_groups, given in ((groups_t, t_base, source), (groups_s, s_base, target)):
        prob = np.ones(len(keys))
        for _ in range(rounds):
            p = prob[inverse]
            post = p / np.bincount(groups, p, n_groups)[groups]  # which piece of the other side made this one
            count = np.bincount(inverse, post * weight, len(keys))
            prob = count / np.bincount(given, count, size)[given]
        total = total + count
    return source, target, (total / 2).astype(np.float32)


def embeddings(pairs, weights, size, width, seed=1):
    """f32[size, width] for the source and for the target side, rows of length about one."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.linalg import svds

    source, target, count = expected_counts(pairs, weights, size)
    keep = count > 0.1
    source, target, count = source[keep], target[keep], count[keep]
    by_source, by_target = np.bincount(source, count, size), np.bincount(target, count, size)
    information = np.log1p(count * count.sum() / (by_source[source] * by_target[target]) * np.minimum(1, count / 2))
    matrix = csr_matrix((information, (source, target)), shape=(size, size))
    rng = np.random.default_rng(seed)
    u, s, vt = svds(matrix.astype(np.float64), k=width, v0=rng.standard_normal(size))
    result = []
    for side in (u * np.sqrt(s), vt.T * np.sqrt(s)):
        noise = rng.standard_normal(side.shape) / np.sqrt(width)
        length = np.linalg.norm(side, axis=1, keepdims=True)
        known = length > 1e-3
        side = np.where(known, side / np.maximum(length, 1e-3), noise)
        result.append((side * 0.95 + noise * 0.3).astype(np.float32))
    return result
