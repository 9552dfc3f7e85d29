/* embedded.h - files whose bytes are compiled into the program: LICENSE, those of data/, the report's page (io/rules.mk). */
#ifndef TURTLE_IO_FILES_EMBEDDED_H
#define TURTLE_IO_FILES_EMBEDDED_H

#include <stdint.h>

typedef struct {
    const uint8_t *data;
    int64_t bytes;
} Embedded;

extern const Embedded embedded_vocab;     /* data/vocab/bpe_merges.txt.gz */
extern const Embedded embedded_unicode;   /* data/vocab/unicode.txt */
extern const Embedded embedded_entities;  /* data/vocab/entities.txt */
extern const Embedded embedded_prompts;   /* data/prompts/prompts.txt */
extern const Embedded embedded_paper;     /* data/manifests/paper.tsv */
extern const Embedded embedded_manifests; /* all of data/manifests/, each file behind the other */
extern const Embedded embedded_imagenet_val;  /* data/manifests/imagenet_val.gz */
extern const Embedded embedded_license;       /* LICENSE */
extern const Embedded embedded_license_index; /* data/licenses/index.tsv */
extern const Embedded embedded_license_texts; /* data/licenses/, each text behind the other */
extern const Embedded embedded_page_css;      /* host/report/page.css */
extern const Embedded embedded_page_js;       /* host/report/page.js */

#endif
