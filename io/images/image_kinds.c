/* image_kinds.c - the table of kinds of pictures, and how to recognise them. */
#include "io/images/image_kinds.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

// clang-format off
typedef enum {
    JPEG, PNG, BMP, PNM, GIF, WEBP, TIFF, HEIC, AVIF, JXL, JPEG2000, JPEG_LS, PSD, SVG, ICO, TGA,
    EXR, RADIANCE, PCX, QOI, DDS, PFM, DICOM, RAW, MP4, AVI, MATROSKA, MPEG, KINDS
} Kind;
// clang-format on

/* SVG is a drawing that can name other files, so it never goes to a child. TGA has no first bytes
 * of its own, PCX one alone. ffmpeg reads no camera raw. */
// clang-format off
static const PictureKind kinds[KINDS] = {
    [JPEG]     = {"JPEG", "jpg jpeg jpe jfif jif", true, false, false, "jpeg", "mjpeg"},
    [PNG]      = {"PNG", "png apng", true, false, false, "png", "png"},
    [BMP]      = {"BMP", "bmp dib", true, false, false, "bmp", "bmp"},
    [PNM]      = {"PNM", "ppm pgm pbm pnm pam", true, false, false, NULL, NULL},
    [GIF]      = {"GIF", "gif", true, false, false, "gif", "gif"},
    [WEBP]     = {"WebP", "webp", false, false, false, "webp", "webp"},
    [TIFF]     = {"TIFF", "tif tiff", false, false, false, "tiff", "tiff"},
    [HEIC]     = {"HEIC", "heic heif hif", false, false, false, "heic", "mov"},
    [AVIF]     = {"AVIF", "avif", false, false, false, "avif", "mov"},
    [JXL]      = {"JPEG XL", "jxl", false, false, false, "jxl", "libjxl"},
    [JPEG2000] = {"JPEG 2000", "jp2 j2k jpf jpx jpc", false, false, false, "jp2", "jpeg2000"},
    [JPEG_LS]  = {"JPEG-LS", "jls", false, false, false, NULL, "jpegls"},
    [PSD]      = {"Photoshop", "psd psb", false, false, false, "psd", "psd"},
    [SVG]      = {"SVG", "svg svgz", false, false, false, NULL, NULL},
    [ICO]      = {"icon", "ico cur", false, false, false, "ico", NULL},
    [TGA]      = {"TGA", "tga", false, false, true, "tga", "targa"},
    [EXR]      = {"OpenEXR", "exr", false, false, false, "exr", "exr"},
    [RADIANCE] = {"Radiance HDR", "hdr", false, false, false, "hdr", "hdr"},
    [PCX]      = {"PCX", "pcx", false, false, true, "pcx", "pcx"},
    [QOI]      = {"QOI", "qoi", false, false, false, NULL, "qoi"},
    [DDS]      = {"DDS", "dds", false, false, false, "dds", "dds"},
    [PFM]      = {"PFM", "pfm", false, false, false, "pfm", "pfm"},
    [DICOM]    = {"DICOM", "dcm dicom", false, false, true, "dcm", NULL},
    [RAW]      = {"camera raw", "dng cr2 cr3 crw nef nrw arw sr2 srf orf rw2 raf pef srw raw x3f 3fr iiq rwl kdc dcr mrw erf mef mos", false, false, true, "dng", NULL},
    [MP4]      = {"video", "mp4 mov m4v 3gp 3g2 qt", false, true, false, NULL, NULL},
    [AVI]      = {"AVI video", "avi", false, true, false, NULL, NULL},
    [MATROSKA] = {"Matroska video", "mkv webm", false, true, false, NULL, NULL},
    [MPEG]     = {"MPEG video", "mpg mpeg mts m2ts wmv flv ogv", false, true, false, NULL, NULL},
};
// clang-format on

const PictureKind *picture_kind_of_name(const char *name) {
    const char *slash = strrchr(name, '/'), *dot = strrchr(name, '.');
    if (!dot || !dot[1] || (slash && dot < slash)) return NULL;
    const size_t n = strlen(dot + 1);
    for (int i = 0; i < KINDS; i++)
        for (const char *e = kinds[i].extensions; *e;) {
            const size_t length = strcspn(e, " ");
            if (length == n && strncasecmp(e, dot + 1, n) == 0) return &kinds[i];
            e += length + (e[length] == ' ');
        }
    return NULL;
}

/* --- by content ------------------------------------------------------------------------------- */

typedef struct {
    int at;
    const char *text; /* with escapes; compared over `n` bytes */
    int n;
    Kind kind;
} Sign;

#define SIGN(at, text, kind) \
    { (at), (text), (int)sizeof(text) - 1, (kind) }

static const Sign signs[] = {
    SIGN(0, "\xff\xd8\xff\xf7", JPEG_LS),
    SIGN(0, "\xff\xd8\xff", JPEG),
    SIGN(0, "\x89PNG\r\n\x1a\n", PNG),
    SIGN(0, "GIF87a", GIF),
    SIGN(0, "GIF89a", GIF),
    SIGN(8, "WEBPVP8", WEBP),
    SIGN(0, "II*\0\x10\0\0\0CR", RAW), /* Canon */
    SIGN(0, "IIRO", RAW),              /* Olympus */
    SIGN(0, "IIRS", RAW),
    SIGN(0, "MMOR", RAW),
    SIGN(0, "IIU\0", RAW), /* Panasonic */
    SIGN(0, "FUJIFILMCCD-RAW", RAW),
    SIGN(0, "FOVb", RAW), /* Sigma */
    SIGN(0, "\0MRM", RAW),
    SIGN(6, "HEAPCCDR", RAW),
    SIGN(0, "II*\0", TIFF),
    SIGN(0, "MM\0*", TIFF),
    SIGN(0, "II+\0", TIFF), /* BigTIFF, for more than 4 GiB */
    SIGN(0, "MM\0+", TIFF),
    SIGN(4, "ftypavi", AVIF), /* avif, avis */
    SIGN(4, "ftyphe", HEIC),  /* heic heix heim heis hevc hevx */
    SIGN(4, "ftypmif1", HEIC),
    SIGN(4, "ftypmsf1", HEIC),
    SIGN(4, "ftypcrx ", RAW),
    SIGN(4, "ftyp", MP4),
    SIGN(4, "moov", MP4),
    SIGN(4, "mdat", MP4),
    SIGN(4, "wide", MP4),
    SIGN(8, "AVI LIST", AVI),
    SIGN(0, "\x1a\x45\xdf\xa3", MATROSKA),
    SIGN(0, "\0\0\x01\xba", MPEG),
    SIGN(0, "\0\0\x01\xb3", MPEG),
    SIGN(0, "FLV\x01", MPEG),
    SIGN(0, "\xff\x0a", JXL),
    SIGN(0, "\0\0\0\x0cJXL \r\n\x87\n", JXL),
    SIGN(0, "\0\0\0\x0cjP  \r\n\x87\n", JPEG2000),
    SIGN(0, "\xff\x4f\xff\x51", JPEG2000),
    SIGN(0, "8BPS", PSD),
    SIGN(0, "\0\0\x01\0", ICO),
    SIGN(0, "\x76\x2f\x31\x01", EXR),
    SIGN(0, "#?RADIANCE", RADIANCE),
    SIGN(0, "#?RGBE", RADIANCE),
    SIGN(0, "qoif", QOI),
    SIGN(0, "DDS ", DDS),
    SIGN(128, "DICM", DICOM),
};

/* Returns the kind of "P6" with white space or a comment behind it, or NULL: a text that begins
 * with P1 alone is none. */
static const PictureKind *pnm_or_none(const uint8_t *p) {
    const bool header = p[2] == '#' || p[2] == ' ' || (p[2] >= '\t' && p[2] <= '\r');
    if (p[0] != 'P' || !header) return NULL;
    if (p[1] >= '1' && p[1] <= '7') return &kinds[PNM];
    return p[1] == 'F' || p[1] == 'f' ? &kinds[PFM] : NULL;
}

/* Returns true if an <svg element stands near the beginning, behind declarations and comments. */
static bool is_svg(const uint8_t *data, int64_t bytes) {
    const int64_t near = bytes < 4096 ? bytes : 4096;
    int64_t first = 0;
    while (first < near && (data[first] <= ' ' || data[first] >= 0x80))
        first++; /* a byte order mark too */
    if (first == near || data[first] != '<') return false;
    for (int64_t i = first; i + 4 < near; i++)
        if (memcmp(data + i, "<svg", 4) == 0) return true;
    return false;
}

const PictureKind *picture_kind_of_bytes(const uint8_t *data, int64_t bytes) {
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++) {
        const Sign *s = &signs[i];
        if (bytes >= s->at + s->n && memcmp(data + s->at, s->text, (size_t)s->n) == 0)
            return &kinds[s->kind];
    }
    if (bytes >= 2 && memcmp(data, "BM", 2) == 0) return &kinds[BMP];
    const PictureKind *pnm = bytes >= 3 ? pnm_or_none(data) : NULL;
    if (pnm) return pnm;
    return is_svg(data, bytes) ? &kinds[SVG] : NULL;
}

/* --- what to do ------------------------------------------------------------------------------- */

/* Writes the folder as a shell takes it: in quotes where it holds more than plain characters. */
static void quoted(char *out, size_t bytes, const char *folder) {
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+,:@%=-";
    const size_t n = strlen(folder);
    bool shown = n > 0 && n + 5 < bytes && folder[0] != '-';
    for (size_t i = 0; i < n; i++)
        shown = shown && (unsigned char)folder[i] >= ' ' && folder[i] != '\'' && folder[i] != 127;
    if (!shown) snprintf(out, bytes, "FOLDER");
    else if (strspn(folder, plain) == n) snprintf(out, bytes, "%s", folder);
    else snprintf(out, bytes, "'%s'", folder);
}

/* Adds the -iname of find for one ending of `length` bytes. */
static void add_pattern(char *text, size_t bytes, const char *ending, size_t length) {
    const size_t at = strlen(text);
    snprintf(text + at, bytes - at, "%s-iname '*.%.*s'", at ? " -o " : "", (int)length, ending);
}

void picture_kind_command(char *text, size_t bytes, const PictureKind *kind, const char *folder,
                          const char *example) {
    enum { LONGEST = 220, SHOWN = 5 };
    char where[LONGEST], names[160] = "";
    int count = 0;
    quoted(where, sizeof where, folder);
    for (const char *e = kind->extensions; *e; count++) {
        const size_t length = strcspn(e, " ");
        if (count < SHOWN) add_pattern(names, sizeof names, e, length);
        e += length + (e[length] == ' ');
    }
    if (count > SHOWN && picture_kind_of_name(example) == kind) {
        const char *ending = strrchr(example, '.') + 1;
        names[0] = '\0';
        count = 1;
        add_pattern(names, sizeof names, ending, strlen(ending));
    }
    const char *open = count > 1 ? "\\( " : "", *shut = count > 1 ? " \\)" : "";
    if (kind->film)
        snprintf(text, bytes,
                 "find %s %s%s%s -exec sh -c 'ffmpeg -nostdin -i \"$0\" -vf fps=1 "
                 "\"${0%%.*}-%%05d.png\"' {} \\;",
                 where, open, names, shut);
    else
        snprintf(text, bytes, "find %s %s%s%s -exec mogrify -format png {} +", where, open, names,
                 shut);
}
