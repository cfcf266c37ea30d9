// Runs the engine on models whose checksum is right and whose numbers are not, under the sanitizers.
//
// Usage: core_any_model MODEL.hkm COUNT. Each round changes a few bytes of header, regions and
// operations, mends the checksum, and runs what the check lets through.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "int8_engine.h"

static uint32_t state = 1;

static uint32_t chance(uint32_t below) {
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state % below;
}

static uint32_t crc32(const uint8_t *data, size_t length) {
    uint32_t crc = 0xffffffff;
    for (size_t n = 0; n < length; n++) {
        crc ^= data[n];
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
        }
    }
    return ~crc;
}

static void change(uint8_t *model, size_t numbers) {
    static const uint32_t edges[] = {0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0xffffffff};
    for (uint32_t n = 0; n <= chance(3); n++) {
        size_t at = chance((uint32_t)numbers);
        if (chance(2)) {
            model[at] = (uint8_t)chance(256);
        } else {
            uint32_t value = edges[chance(10)];
            size_t width = chance(2) ? 2 : 4;
            at -= at % width;
            memcpy(model + at, &value, width);
        }
    }
}

static int run(const uint8_t *model, size_t length) {
    if (harken_model_check(model, length) != HKM_OK) {
        return 0;
    }
    harken_model *running = malloc(harken_model_size(model));
    harken_model_reset(running, model);
    size_t features = harken_model_features(running);
    int8_t *row = malloc(features);
    uint8_t *outputs = malloc(harken_model_outputs(running));
    for (uint32_t n = 0; n < 2 * harken_model_stride(running) && n < 64; n++) {
        for (size_t c = 0; c < features; c++) {
            row[c] = (int8_t)chance(256);
        }
        harken_model_step(running, row);
        memcpy(outputs, harken_model_output(running), harken_model_outputs(running));
    }
    free(outputs);
    free(row);
    free(running);
    return 1;
}

int main(int count, char **arguments) {
    FILE *file = count == 3 ? fopen(arguments[1], "rb") : NULL;
    if (file == NULL) {
        return 2;
    }
    static uint8_t good[1 << 17];
    size_t length = fread(good, 1, sizeof(good), file);
    fclose(file);
    const hkm_header *head = hkm_head(good);
    size_t numbers = head->operations + (size_t)head->operation_count * sizeof(hkm_operation);
    long accepted = 0;
    for (long n = strtol(arguments[2], NULL, 10); n > 0; n--) {
        // Of its own size, so that the sanitizer sees the first byte past its end.
        uint8_t *model = malloc(length);
        memcpy(model, good, length);
        change(model, numbers);
        uint32_t crc = crc32(model + 16, length - 16);
        memcpy(model + 12, &crc, sizeof(crc));
        accepted += run(model, length);
        free(model);
    }
    printf("%ld\n", accepted);
    return 0;
}
