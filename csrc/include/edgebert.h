/* edgebert: understanding text on a small device.
 *
 * This is the whole public interface of the C library. The library allocates nothing, keeps no
 * state between calls and needs no operating system: the caller brings the model file's bytes
 * (mmap on a host, flash on a device) and the memory to work in.
 *
 *     size_t bytes;
 *     eb_model *model;
 *     eb_model_size(file, file_size, &bytes);                        // how large is a handle?
 *     eb_model_open(file, file_size, handle, bytes, &model);         // checks everything once
 *     eb_arena_size(model, 64, &bytes);                              // memory for 64 tokens
 *     eb_classify(model, &(eb_text){"a gripping film", 15, NULL, 0},
 *                 arena, bytes, logits, NULL, &report);
 *
 * Threads: an open model is never written again, so any number of threads may share one, each
 * with an arena of its own. A call waits for nothing and calls nothing of the caller's. Model
 * files, handles and arenas must be aligned to EB_ALIGNMENT bytes, which malloc does not promise on
 * 32-bit machines; all else only as its type is. A model file or section must stay where it is,
 * unchanged, while in use. Stack, if built with optimisation: 4 KiB on microcontrollers, 16 KiB
 * elsewhere.
 */
#ifndef EDGEBERT_H
#define EDGEBERT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#ifdef EB_EXPORTS /* defined by the build of a shared library, in which all else is hidden */
#pragma GCC visibility push(default)
#endif

#define EB_VERSION_MAJOR 0
#define EB_VERSION_MINOR 1
#define EB_ALIGNMENT 16

typedef enum eb_status {
    EB_OK = 0,
    EB_ERROR_ARGUMENT = 1,    /* a NULL pointer, a count of zero, memory out of alignment */
    EB_ERROR_MEMORY = 2,      /* the handle or the arena is too small: ask the *_size function */
    EB_ERROR_TRUNCATED = 3,   /* the file is shorter than it says */
    EB_ERROR_FOREIGN = 4,     /* not an edgebert file at all */
    EB_ERROR_VERSION = 5,     /* made by a newer edgebert: update the library */
    EB_ERROR_CHECKSUM = 6,    /* the bytes changed since they were written */
    EB_ERROR_CORRUPT = 7,     /* an offset, size or value in the file is impossible */
    EB_ERROR_UNSUPPORTED = 8, /* valid, but this build lacks the part that it needs */
    EB_ERROR_TOO_LONG = 9     /* more tokens than the model has positions */
} eb_status;

/* One English sentence for a status; never NULL. */
const char *eb_status_text(eb_status status);

/* ---- hash embedding --------------------------------------------------------------------------
 * EELBERT (arXiv 2310.20144): a token's vector is a function of its bytes. docs/design.md defines
 * it; tests/golden/hash.txt judges every implementation. */

#define EB_HASH_POLY 0    /* s * h_j mod B of a polynomial rolling hash s: the paper's */
#define EB_HASH_MURMUR3 1 /* MurmurHash3 of each (n-gram, column) */

#define EB_MAX_HIDDEN_SIZE 4096
#define EB_MAX_NGRAM 16

typedef struct eb_hash_params {
    uint32_t family;         /* EB_HASH_* */
    uint32_t dimension;      /* d, 1 to EB_MAX_HIDDEN_SIZE */
    uint32_t max_ngram;      /* N, 1 to EB_MAX_NGRAM */
    uint32_t modulus;        /* B, odd, 3 to 2^31 - 1 */
    uint32_t base;           /* p, 1 to B - 1 */
    uint32_t seed;           /* of the d multipliers h_j */
    uint32_t boundary_marks; /* 1: hash '<' token '>' instead of token */
} eb_hash_params;

typedef struct eb_hash eb_hash;

/* Bytes of handle memory that eb_hash_open needs. */
eb_status eb_hash_size(const eb_hash_params *params, size_t *bytes);
eb_status eb_hash_open(const eb_hash_params *params, void *memory, size_t memory_size,
                       eb_hash **hash);

/* Writes the d floats, each in [-1, 1], of one token of any length below 4 GiB, empty included. */
void eb_hash_embed(const eb_hash *hash, const uint8_t *token, size_t token_size, float *vector);

/* The same for tokens laid end to end, token i being bytes[ends[i-1]] .. bytes[ends[i]-1] with
 * ends[-1] = 0: vectors is float[count, d]. */
void eb_hash_embed_many(const eb_hash *hash, const uint8_t *bytes, const uint32_t *ends,
                        size_t count, float *vectors);

/* ---- tokenizers ------------------------------------------------------------------------------ */

#define EB_TOKENIZER_WORDPIECE 0 /* BERT's; the same tokens as Hugging Face's BertTokenizerFast */
#define EB_TOKENIZER_WORD 1      /* words and punctuation marks as they are; no vocabulary */

#define EB_MAX_WORD 100 /* code points; a longer word becomes [UNK], as in BERT */

typedef struct eb_tokenizer eb_tokenizer;

/* Opens a tokenizer section (docs/format.md), as found in model files. It is used in place. */
eb_status eb_tokenizer_size(size_t *bytes);
eb_status eb_tokenizer_open(const void *section, size_t section_size, void *memory,
                            size_t memory_size, eb_tokenizer **tokenizer);

/* A word: what of a text (below 4 GiB) stands between white space, punctuation included. White
 * space is what separates tokens and leaves none itself. */
typedef struct eb_word {
    uint32_t index;      /* 0 for the text's first word; EB_NO_WORD: not a token of the text */
    uint32_t begin, end; /* bytes of the text; 0 for EB_NO_WORD */
} eb_word;

#define EB_NO_WORD 0xffffffff

/* Tokens as one run of bytes: token i is bytes[ends[i-1]] .. bytes[ends[i]-1], with ends[-1] = 0.
 * A continuation piece keeps its "##". */
typedef struct eb_tokens {
    uint8_t *bytes;          /* caller's memory for the tokens' bytes */
    uint32_t bytes_capacity; /* its size */
    uint32_t *ends;          /* caller's memory for one end per token */
    uint32_t ends_capacity;  /* its length */
    eb_word *words;          /* caller's memory for as many words, or NULL if they are not asked */
    uint32_t count;          /* out: tokens stored */
    uint32_t total;          /* out: tokens in the whole text; larger than count if cut short */
    uint32_t bytes_total;    /* out: bytes of all the text's tokens */
} eb_tokens;

/* Splits text (UTF-8; broken sequences are skipped) into tokens, without [CLS] and [SEP].
 * Tokens that do not fit are counted and left out. A word of control characters alone has no
 * token: the index of the next one tells that it was there. */
eb_status eb_tokenize(const eb_tokenizer *tokenizer, const char *text, size_t text_size,
                      eb_tokens *tokens);

/* 1 if the vocabulary has the piece ("##ing" for a continuation), else 0. `word`: always 1. */
int eb_tokenizer_has(const eb_tokenizer *tokenizer, const uint8_t *piece, size_t piece_size);

typedef struct eb_text {
    const char *a; /* UTF-8 */
    size_t a_size;
    const char *b; /* second text of a pair, or NULL */
    size_t b_size;
} eb_text;

/* The tokens of a whole model input, [CLS] a [SEP] or [CLS] a [SEP] b [SEP], with their token type
 * ids, at most max_tokens of them; a pair is cut longest first, as Hugging Face does. types:
 * uint8_t[tokens->ends_capacity]. tokens->total and bytes_total count what was not cut. Words are
 * those of a: [CLS], [SEP] and the tokens of b have none. */
eb_status eb_sequence(const eb_tokenizer *tokenizer, const eb_text *text, uint32_t max_tokens,
                      eb_tokens *tokens, uint8_t *types, uint32_t *num_dropped);

/* ---- model -----------------------------------------------------------------------------------*/

#define EB_TASK_CLASSIFICATION 0 /* logits, one for each label */
#define EB_TASK_REGRESSION 1     /* one number */
#define EB_TASK_EMBEDDING 2      /* a vector of length 1 that stands for the whole text */
#define EB_TASK_TAGGING 3        /* a tag for each word; the tasks above may have tags besides */

#define EB_MAX_TAGS 4096

#define EB_ACTIVATION_GELU 0 /* x * Phi(x), the exact one (erf) */

#define EB_DTYPE_F32 0
#define EB_DTYPE_I8 1
#define EB_DTYPE_I4 2 /* weights of 4 bits; all else as in I8 */
#define EB_DTYPE_I16 3
#define EB_DTYPE_I32 4

typedef struct eb_config {
    uint32_t hidden_size;
    uint32_t num_hidden_layers;
    uint32_t num_attention_heads;
    uint32_t intermediate_size;
    uint32_t max_position_embeddings; /* most tokens in one run, [CLS] and [SEP] included */
    uint32_t type_vocab_size;
    uint32_t num_labels; /* 0 for EB_TASK_EMBEDDING and EB_TASK_TAGGING */
    uint32_t num_tags;   /* 0: the model does not tag words */
    uint32_t task;       /* EB_TASK_* */
    uint32_t activation; /* EB_ACTIVATION_* */
    uint32_t dtype;      /* EB_DTYPE_F32, EB_DTYPE_I8 or EB_DTYPE_I4 */
    float layer_norm_eps;
} eb_config;

typedef struct eb_model eb_model;

/* Bytes of handle memory that eb_model_open needs for this file, a multiple of EB_ALIGNMENT, from
 * its header alone: what else the file holds, eb_model_open checks. */
eb_status eb_model_size(const void *file, size_t file_size, size_t *bytes);

/* Checks the whole file (checksum, every offset, every size) and makes a handle in memory. The
 * file is used in place and must be aligned to EB_ALIGNMENT. */
eb_status eb_model_open(const void *file, size_t file_size, void *memory, size_t memory_size,
                        eb_model **model);

const eb_config *eb_model_config(const eb_model *model);
const eb_hash *eb_model_hash(const eb_model *model);
const eb_hash_params *eb_model_hash_params(const eb_model *model);
const eb_tokenizer *eb_model_tokenizer(const eb_model *model);

/* Label i as UTF-8, not NUL-terminated; NULL if i is out of range. */
const char *eb_model_label(const eb_model *model, uint32_t i, size_t *label_size);

/* Tag i in the same way: "O", or "B-" or "I-" and the type of an entity. */
const char *eb_model_tag(const eb_model *model, uint32_t i, size_t *tag_size);

/* Name of the instruction set whose kernels the model uses: "scalar", "avx2", ... */
const char *eb_model_isa(const eb_model *model);

/* Makes the model use another instruction set than the best one, to compare or to find a fault;
 * before any thread runs it. EB_ERROR_UNSUPPORTED: this build or this processor does not have it.
 */
eb_status eb_model_use_isa(eb_model *model, const char *isa);

/* Bytes of arena that a run over so many tokens needs. */
eb_status eb_arena_size(const eb_model *model, uint32_t num_tokens, size_t *bytes);

typedef struct eb_report {
    uint32_t num_tokens;   /* run, [CLS] and [SEP] included */
    uint32_t num_dropped;  /* cut from the end because the arena or the model has no room */
    uint32_t num_entities; /* found by eb_tag, stored or not */
} eb_report;

/* Text in, logits out. logits: float[num_labels], NULL allowed if there are none; pooled:
 * float[hidden_size] or NULL; report may be NULL. As many tokens are run as the arena and the model
 * have room for; a pair is cut longest first, as Hugging Face does.
 *
 * pooled stands for the whole text: what the classifier takes, each number from -1 to 1. In a model
 * without labels it is the mean of the tokens' last hidden states, scaled to length 1, so that the
 * dot product of two texts' vectors tells how alike they are. */
eb_status eb_classify(const eb_model *model, const eb_text *text, void *arena, size_t arena_size,
                      float *logits, float *pooled, eb_report *report);

/* The same from tokens that the caller prepared ([CLS] and [SEP] included), laid out as in
 * eb_tokens; types: one token type id for each, or NULL for all 0. */
eb_status eb_classify_tokens(const eb_model *model, const uint8_t *bytes, const uint32_t *ends,
                             const uint8_t *types, uint32_t count, void *arena, size_t arena_size,
                             float *logits, float *pooled);

/* ---- tags ------------------------------------------------------------------------------------
 * A model with tags finds things in a text: the state of each word's first token gives the word's
 * tags scores, and of all sequences of tags the one is taken that has the largest sum of scores and
 * of transitions from each word's tag to the next one's. Tags in the BIO scheme say where things
 * begin and go on. Of a pair, the words of a are tagged. */

typedef struct eb_entity {
    uint32_t begin, end; /* bytes of the text, from the first word to the end of the last one */
    const char *type;    /* UTF-8, not NUL-terminated: the tag's name behind "B-" or "I-" */
    size_t type_size;
} eb_entity;

/* eb_classify that finds entities too: the first `capacity` of them are stored in the order of the
 * text, and report->num_entities counts all; here report must be given. Their types lie in the
 * model's file. Words that were cut off belong to none. A model without tags finds none. */
eb_status eb_tag(const eb_model *model, const eb_text *text, void *arena, size_t arena_size,
                 float *logits, float *pooled, eb_entity *entities, uint32_t capacity,
                 eb_report *report);

/* eb_classify_tokens that scores tags too. tag_scores: int16_t[count, num_tags], the tags' logits
 * of each token in units of 1 / 256, at most 8191 (32) either way; left alone, and NULL allowed, if
 * the model has no tags. eb_best_tags makes tags of them. */
eb_status eb_tag_tokens(const eb_model *model, const uint8_t *bytes, const uint32_t *ends,
                        const uint8_t *types, uint32_t count, void *arena, size_t arena_size,
                        float *logits, float *pooled, int16_t *tag_scores);

/* Logits of tags, of any runtime, as such scores. */
void eb_tag_scores(const float *logits, size_t count, int16_t *scores);

/* How well tags follow each other, int8_t[num_tags, num_tags + 1] in units of 1 / 16: row i column
 * j is tag i behind tag j, and the last column tag i of a text's first word. NULL without tags. */
const int8_t *eb_model_transitions(const eb_model *model);

/* tags[count] = of each token of a word the word's tag in the best sequence of them, among equals
 * that of the lowest number from the last word on; of other tokens 0. words: of the tokens, as
 * eb_sequence gives them. scores, int16_t[count, num_tags], are used up. */
eb_status eb_best_tags(const int8_t *transitions, uint32_t num_tags, const eb_word *words,
                       uint32_t count, int16_t *scores, uint16_t *tags);

typedef struct eb_name {
    const char *text; /* UTF-8, not NUL-terminated */
    size_t size;
} eb_name;

/* The entities that tags of tokens make, as conlleval reads them: "B-x" begins one; "I-x" goes on
 * with one of type x, and else begins one; "O", and a word without tokens, ends it. names: all the
 * tags'; tags and words: of `count` tokens, as eb_best_tags and eb_sequence give them. At most
 * `capacity` are stored and all are counted. EB_ERROR_ARGUMENT too if a tag has no name. */
eb_status eb_find_entities(const eb_name *names, uint32_t num_names, const uint16_t *tags,
                           const eb_word *words, uint32_t count, eb_entity *entities,
                           uint32_t capacity, uint32_t *num_entities);

#ifdef EB_EXPORTS
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif
#endif
