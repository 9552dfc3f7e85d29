/* published.c - the published encoders: names, files and origins. */
#include "host/inputs/published.h"

#include <stddef.h>
#include <string.h>

#define CLIP_URL "https://openaipublic.azureedge.net/clip/models/"

/* Parameters as the model cards of OpenCLIP and DINOv2 count them. */
static const PublishedModel models[] = {
    {"clipRN50", "CLIP RN50", "clip/RN50.pt",
     CLIP_URL "afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762/RN50.pt", 102, 2},
    {"clipRN101", "CLIP RN101", "clip/RN101.pt",
     CLIP_URL "8fa8567bab74a42d41c5915025a8e4538c3bdbe8804a470a72f30b0d94fab599/RN101.pt", 120, 2},
    {"clipRN50x4", "CLIP RN50x4", "clip/RN50x4.pt",
     CLIP_URL "7e526bd135e493cef0776de27d5f42653e6b4c8bf9e0f653bb11773263205fdd/RN50x4.pt", 178, 2},
    {"clipRN50x16", "CLIP RN50x16", "clip/RN50x16.pt",
     CLIP_URL "52378b407f34354e150460fe41077663dd5b39c54cd0bfd2b27167a4a06ec9aa/RN50x16.pt", 291,
     2},
    {"clipRN50x64", "CLIP RN50x64", "clip/RN50x64.pt",
     CLIP_URL "be1cfb55d75a9666199fb2206c106743da0f6468c9d327f3e0d0a543a9919d9c/RN50x64.pt", 623,
     2},
    {"clipvitB32", "CLIP ViT-B/32", "clip/ViT-B-32.pt",
     CLIP_URL "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af/ViT-B-32.pt", 151,
     2},
    {"clipvitB16", "CLIP ViT-B/16", "clip/ViT-B-16.pt",
     CLIP_URL "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f/ViT-B-16.pt", 150,
     2},
    {"clipvitL14", "CLIP ViT-L/14", "clip/ViT-L-14.pt",
     CLIP_URL "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836/ViT-L-14.pt", 428,
     2},
    {"dinov2", "DINOv2 ViT-g/14", "dinov2/checkpoints/dinov2_vitg14_pretrain.pth",
     "https://dl.fbaipublicfiles.com/dinov2/dinov2_vitg14/dinov2_vitg14_pretrain.pth", 1100, 4},
};

const PublishedModel *model_find(const char *phi) {
    for (size_t i = 0; i < sizeof models / sizeof *models; i++)
        if (strcmp(models[i].phi, phi) == 0) return &models[i];
    return NULL;
}

const PublishedModel *model_first(void) {
    return models;
}

const PublishedModel *model_next(const PublishedModel *m) {
    return m + 1 < models + sizeof models / sizeof *models ? m + 1 : NULL;
}

const char *model_digest(char hex[65], const PublishedModel *m) {
    const char *end = strrchr(m->url, '/');
    if (strncmp(m->url, CLIP_URL, strlen(CLIP_URL)) != 0 ||
        end - m->url != (ptrdiff_t)strlen(CLIP_URL) + 64)
        return NULL;
    memcpy(hex, end - 64, 64);
    hex[64] = '\0';
    return hex;
}
