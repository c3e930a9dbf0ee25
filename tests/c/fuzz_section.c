/* Fuzzes the tokenizer section: the input is one, with its vocabulary. Whatever its bytes are, it
 * is refused, or tokenizes a text within its own bytes. */
#include "fuzz.h"

#define MAX_TOKENS 256
#define MAX_BYTES 4096

static const char text[] = "It's an unaffordably long, anticlimactic film: 3.14159 stars! [MASK] "
                           "\xc3\xa9t\xc3\xa9 \xe6\x98\xa0\xe7\x94\xbb \xd0\xba\xd0\xb8\xd0\xbd\xd0"
                           "\xbe \xef\xac\x81lm \xf0\x9f\x8e\xac \xff";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    size_t handle_size;
    eb_tokenizer *tokenizer;
    REQUIRE(eb_tokenizer_size(&handle_size) == EB_OK);
    void *handle = allocate(handle_size);
    if (eb_tokenizer_open(data, size, handle, handle_size, &tokenizer) == EB_OK) {
        uint8_t bytes[MAX_BYTES];
        uint32_t ends[MAX_TOKENS];
        eb_tokens tokens = {bytes, MAX_BYTES, ends, MAX_TOKENS, NULL, 0, 0, 0};
        REQUIRE(eb_tokenize(tokenizer, text, sizeof text - 1, &tokens) == EB_OK);
        REQUIRE(tokens.count > 0 && tokens.count == tokens.total);
        REQUIRE(ends[tokens.count - 1] == tokens.bytes_total);
    }
    free(handle);
    return 0;
}
