/* folders_test.c - folders are taken as splits and classes, and every file has one fate. */
#include "io/arrays/npy.h"
#include "io/datasets/sources.h"
#include "io/images/image_kinds.h"
#include "io/text/text_lines.h"
#include "io/text/utf8.h"
#include "tests/support/check.h"

/* --- trees ------------------------------------------------------------------------------------ */

static void put(const char *folder, const char *path, const void *bytes, size_t n) {
    char *whole = format_text("%s/%s", folder, path), *slash = strrchr(whole, '/');
    Error err;
    *slash = '\0';
    ASSERT_OK(folder_make(whole, &err), err);
    *slash = '/';
    if (slash[1]) write_bytes(whole, bytes, n);
    free(whole);
}

/* Makes the files and, of paths that end with a slash, the folders of "a/1.png b/ c.txt". */
static char *tree(const char *paths) {
    char *folder = temporary_folder(), *copy = strdup(paths), *rest = NULL;
    for (char *p = strtok_r(copy, " ", &rest); p; p = strtok_r(NULL, " ", &rest))
        put(folder, p, "P5 1 1 255 x", 12);
    free(copy);
    return folder;
}

/* Returns how a listing was understood: "train: a/1.png 0, b/1.png 1; val: a/1.png 0
 * (validation)". */
static char *understood(const SourceSplits *s) {
    char *text = strdup("");
    for (int split = 0; split < 2; split++) {
        const SourceList *list = split ? &s->val : &s->train;
        for (int64_t i = 0; i < list->count; i++) {
            char *longer = format_text("%s%s%s %lld", text,
                                       i       ? ", "
                                       : split ? "; val: "
                                               : "train: ",
                                       list->source[i].name, (long long)list->source[i].label);
            free(text);
            text = longer;
        }
    }
    if (!s->val.count) return text;
    char *longer = format_text("%s (%s)", text, s->val_word);
    free(text);
    return longer;
}

/* Returns the notes and the notices of left out entries, a line each. */
static char *said(const SourceSplits *s) {
    char *text = format_text("%s", s->notes ? s->notes : ""), line[1024];
    for (int i = 0; i < s->left.reasons; i++) {
        char *longer =
            format_text("%s%s\n", text, left_out_line(line, sizeof line, &s->left, i, "DIR"));
        free(text);
        text = longer;
    }
    return text;
}

static int regular_files(const char *folder) {
    return count_files(folder, "");
}

/* Expects a tree to be read as `expected`, or refused with it; the notes hold `says`. */
static void check_tree(const char *paths, const char *expected, const char *says) {
    char *folder = tree(paths);
    SourceSplits s;
    Error err = {""};
    const Status st = sources_folder(&s, folder, NULL, &err);
    if (!expected) {
        cr_expect(st == ERR_FORMAT && strstr(err.text, says), "%s: expected '%s': %s", paths, says,
                  st == OK ? "was read" : err.text);
        if (st == OK) sources_close(&s);
        remove_folder(folder);
        return;
    }
    cr_assert(st == OK, "%s: %s", paths, err.text);
    char *found = understood(&s), *words = said(&s);
    cr_expect(strcmp(found, expected) == 0, "%s:\nexpected %s\n     got %s", paths, expected,
              found);
    cr_expect(*says ? strstr(words, says) != NULL : !*words, "%s:\nexpected '%s' in: %s", paths,
              says, words);
    cr_expect(s.train.count + s.val.count + s.left.files == regular_files(folder),
              "%s: %d of %d files have a fate", paths,
              (int)(s.train.count + s.val.count + s.left.files), regular_files(folder));
    free(found), free(words);
    sources_close(&s);
    remove_folder(folder);
}

/* --- splits ----------------------------------------------------------------------------------- */

Test(folders, words_of_the_validation_split, .timeout = 60) {
    static const char *const words[] = {"val", "valid", "validation", "dev"};
    for (int i = 0; i < 4; i++) {
        char *paths = format_text("train/cat/1.png train/dog/1.png %s/dog/2.png", words[i]),
             *expected =
                 format_text("train: cat/1.png 0, dog/1.png 1; val: dog/2.png 1 (%s)", words[i]),
             *note = format_text("%s/ has no image of 1 of the 2 classes of train/\n", words[i]);
        check_tree(paths, expected, note);
        free(paths), free(expected), free(note);
        for (int j = 0; j < i; j++) {
            paths = format_text("train/c/1.png %s/c/1.png %s/c/1.png", words[i], words[j]);
            check_tree(paths, NULL, "are both validation splits");
            free(paths);
        }
    }
    check_tree("train/c/1.png val/c/1.png test/c/1.png test/c/2.png",
               "train: c/1.png 0; val: c/1.png 0 (val)",
               "left out 2 files: of the test split, for val is scored (first test/c/1.png)");
    check_tree("train/c/1.png test/c/1.png", "train: c/1.png 0; val: c/1.png 0 (test)",
               "test/ is the split that is scored: there is no val/");
    check_tree("train/1.png train/2.png val/3.png",
               "train: 1.png -1, 2.png -1; val: 3.png -1 (val)", "");
    check_tree("train/c/1.png val/c/1.png extra/2.png 3.png notes.txt",
               "train: c/1.png 0; val: c/1.png 0 (val)",
               "left out 2 files: beside the folders of splits or classes (first extra/2.png)");
}

Test(folders, splits_under_other_names_are_refused_with_the_right_ones) {
    check_tree("Train/c/1.png Val/c/1.png", NULL,
               "Train/, Val/: expected train/ for the training split and val/");
    check_tree("TRAIN/c/1.png TEST/c/1.png", NULL, "TRAIN/, TEST/: expected train/");
    check_tree("train/c/1.png Validation/c/1.png", NULL, "rename Validation/");
    check_tree("Training/c/1.png Testing/c/1.png", NULL, "Training/, Testing/: expected");
    check_tree("train/c/1.png test/c/1.png Val/c/1.png", NULL, "rename Val/");
    check_tree("train_images/c/1.png val_images/c/1.png", NULL, "rename train_images/");
    check_tree("Train/c/1.png Train/d/1.png", NULL, "Train/: expected train/");
    check_tree("Train/c/1.png val/c/1.png more/c/1.png", NULL, "rename Train/");
    check_tree("val/c/1.png val/d/1.png", NULL, "holds the split folder val/ and no train/");
    check_tree("test/c/1.png dev/c/1.png", NULL, "no train/");
    check_tree("archive/train/c/1.png archive/test/c/1.png", NULL, "lie in it: give --images /");
}

Test(folders, a_word_among_classes_is_a_class) {
    check_tree("train/c/1.png train/d/1.png", "train: c/1.png 0, d/1.png 1",
               "train/ stands alone: no split is scored");
    check_tree("train/c/1.png annotations/1.xml", "train: c/1.png 0",
               "left out 1 file: beside the folders of splits or classes (annotations/1.xml)");
    check_tree("bus/1.png car/1.png train/1.png", "train: bus/1.png 0, car/1.png 1, train/1.png 2",
               "train/ is read as a class, for it stands beside bus/");
    check_tree("control/1.png test/1.png", "train: control/1.png 0, test/1.png 1",
               "test/ is read as a class");
    check_tree("train/c/1.png unlabeled/1.png", NULL, "is it a split or a class?");
    check_tree("bottle/train/good/1.png bottle/test/bad/1.png wood/train/good/2.png",
               "train: bottle/test/bad/1.png 0, bottle/train/good/1.png 0, wood/train/good/2.png 1",
               "bottle/test/ is read as a part of its class");
}

/* --- classes ---------------------------------------------------------------------------------- */

Test(folders, classes_have_images) {
    check_tree("ant/1.png bird/ cat/1.png dog/readme.txt", "train: ant/1.png 0, cat/1.png 1",
               "left out 2 folders: a class folder without images: it has no number (first bird/)");
    check_tree("train/a/1.png train/b/1.png val/b/1.png val/c/1.png val/d/1.png",
               "train: a/1.png 0, b/1.png 1; val: b/1.png 1, c/1.png 2, d/1.png 3 (val)",
               "2 classes of val/ (first c) are not in train/: numbered from 2 on");
    check_tree("train/a/1.png train/b/ val/b/1.png val/a/1.png",
               "train: a/1.png 0; val: a/1.png 0, b/1.png 1 (val)",
               "1 class of val/ (b) is not in train/: numbered from 1 on");
    check_tree("a/1.png b/1.png 2.png 10.png", "train: 10.png -1, 2.png -1, a/1.png 0, b/1.png 1",
               "2 images beside class folders (first 10.png) have no label");
    check_tree("1.png 2.png empty/", "train: 1.png -1, 2.png -1", "(empty/)");
}

Test(folders, folders_of_other_programs_are_no_classes) {
    static const char *const names[] = {"@eaDir",     "__MACOSX",     ".ipynb_checkpoints",
                                        ".git",       "$RECYCLE.BIN", "#recycle",
                                        "lost+found", "__pycache__"};
    for (int i = 0; i < 8; i++) {
        char *paths = format_text("%s/1.png/thumb.png cat/1.png dog/1.png dog/%s/2.png", names[i],
                                  names[i]),
             *first = format_text("(first %s/1.png/thumb.png)", names[i]);
        check_tree(paths, "train: cat/1.png 0, dog/1.png 1",
                   names[i][0] == '.' ? "left out 2 files: hidden" : first);
        free(paths), free(first);
    }
    check_tree("cat/1.png cat/._1.png cat/.DS_Store cat/Thumbs.db cat/desktop.ini",
               "train: cat/1.png 0", "left out 2 files: hidden (first cat/.");
}

/* The order is recorded from ImageFolder.samples of torchvision 0.17.1 (tests/goldens/folders). */
Test(folders, order_and_labels_are_those_of_image_folder, .timeout = 60) {
    char *folder = temporary_folder(), *link = format_text("%s/Z/link", folder);
    TextLines t;
    TextLine line;
    Error err;
    SourceSplits s;
    ASSERT_OK(text_lines_open(&t, "test", "tests/goldens/folders/tree.txt", &err), err);
    while (text_lines_next(&t, &line)) put(folder, line.text, "", 0);
    text_lines_close(&t);
    cr_assert(symlink("../c/a", link) == 0);
    ASSERT_OK(sources_folder(&s, folder, &(ListingOptions){.exact = true}, &err), err);
    ASSERT_OK(text_lines_open(&t, "test", "tests/goldens/folders/samples.txt", &err), err);
    int64_t i = 0;
    for (; text_lines_next(&t, &line) && i < s.train.count; i++) {
        char *found =
            format_text("%lld\t%s", (long long)s.train.source[i].label, s.train.source[i].name);
        cr_expect_str_eq(found, line.text);
        free(found);
    }
    cr_expect(i == s.train.count && i == t.number && i > 30, "%d of %d, %d", (int)i,
              (int)s.train.count, (int)t.number);
    /* the link shows three files again */
    cr_expect(s.train.count + s.left.files == regular_files(folder) + 3);
    text_lines_close(&t);
    sources_close(&s);
    free(link);
    remove_folder(folder);
}

/* --- kinds of files --------------------------------------------------------------------------- */

Test(folders, endings_and_contents) {
    char *folder =
        tree("c/1.png c/2.jfif c/3.jpe c/4.PNM c/5.gif c/6.webp c/7.Webp c/8.mp4 c/9.txt "
             "c/noend d/10.heic d/x.y/1.png");
    SourceSplits s;
    Error err;
    put(folder, "d/movie", "\x1a\x45\xdf\xa3", 4);
    put(folder, "d/text", "P1 is no picture", 0);
    ASSERT_OK(sources_folder(&s, folder, NULL, &err), err);
    char *found = understood(&s), *words = said(&s);
    cr_expect_str_eq(found, "train: c/1.png 0, c/2.jfif 0, c/3.jpe 0, c/4.PNM 0, c/5.gif 0, "
                            "c/noend 0, d/x.y/1.png 1");
    static const char *const says[] = {
        "1 file without an ending (c/noend) read by content",
        "left out 2 files: WebP is not read (first c/",
        "; find DIR -iname '*.webp' -exec mogrify -format png {} +  makes PNGs of them",
        "left out 1 file: HEIC is not read (d/10.heic); find DIR",
        "left out 1 file: video is not read (c/8.mp4); find DIR",
        "ffmpeg",
        "left out 1 file: Matroska video is not read (d/movie)",
        "left out 2 files: no picture by its ending (first "};
    for (size_t i = 0; i < sizeof says / sizeof *says; i++)
        cr_expect(strstr(words, says[i]), "expected '%s' in: %s", says[i], words);
    cr_expect(s.train.count + s.left.files == regular_files(folder));
    free(found), free(words);
    sources_close(&s);
    /* a picture that another program decodes is a source then; a film is not */
    ASSERT_OK(sources_folder(&s, folder, &(ListingOptions){.magick = true}, &err), err);
    cr_expect(s.train.count == 10 && s.left.files == 4, "%d %d", (int)s.train.count,
              (int)s.left.files);
    sources_close(&s);
    remove_folder(folder);
}

Test(folders, nothing_to_read_is_refused_with_the_reason) {
    static const struct {
        const char *paths, *says;
    } cases[] = {{"", "no images: expected <class>/<image>"},
                 {"a.txt b.csv", "no images: expected <class>/<image>, <image>, or train/ and val/ "
                                 "of those (jpg, png, gif, bmp, ppm, pgm); left out 2 files"},
                 {"a/1.heic a/2.HEIC b/3.txt", "no images that are read: left out 2 files: HEIC"},
                 {"cat/ dog/", "no images"},
                 {"train/c/1.png val/", "val: no images"},
                 {"train/ val/c/1.png", "train: no images"},
                 {".hidden/1.png", "hidden"}};
    SourceSplits s;
    Error err;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_tree(cases[i].paths, NULL, cases[i].says);
    char *folder = tree("1.png list.tsv a.zip"), *png = format_text("%s/1.png", folder),
         *tsv = format_text("%s/list.tsv", folder), *zip = format_text("%s/a.zip", folder);
    cr_expect(sources_folder(&s, png, NULL, &err) == ERR_FORMAT && strstr(err.text, "is a file"));
    cr_expect(sources_folder(&s, tsv, NULL, &err) == ERR_FORMAT && strstr(err.text, "--list"));
    cr_expect(sources_folder(&s, zip, NULL, &err) == ERR_FORMAT && strstr(err.text, "unpack"));
    cr_expect(sources_folder(&s, "", NULL, &err) == ERR_USAGE);
    cr_expect(sources_folder(&s, "/no/where", NULL, &err) == ERR_IO);
    free(png), free(tsv), free(zip);
    remove_folder(folder);
}

Test(folders, links_pipes_and_closed_folders) {
    char *folder = tree("a/1.png a/deep/er/2.png b/3.png real/4.png"), command[2048];
    SourceSplits s;
    Error err;
    snprintf(
        command, sizeof command,
        "cd %s && ln -s ../.. a/deep/up && ln -s .. b/top && ln -s ../real/4.png b/link.png && "
        "ln -s ../real b/linked && ln -s nowhere b/broken.png && ln -s nowhere b/broken && "
        "mkfifo b/pipe.png && mkdir b/shut && touch b/shut/5.png && chmod 0 b/shut",
        folder);
    cr_assert(system(command) == 0);
    if (geteuid() != 0) { /* root opens it */
        cr_expect(sources_folder(&s, folder, NULL, &err) == ERR_IO &&
                      strstr(err.text, "b/shut: Permission denied (--skip_bad"),
                  "%s", err.text);
    }
    snprintf(command, sizeof command, "chmod 700 %s/b/shut && rm %s/b/shut/5.png", folder, folder);
    cr_assert(system(command) == 0);
    ASSERT_OK(sources_folder(&s, folder, NULL, &err), err);
    char *found = understood(&s), *words = said(&s);
    cr_expect_str_eq(found, "train: a/1.png 0, a/deep/er/2.png 0, b/3.png 1, b/broken.png 1, "
                            "b/link.png 1, b/linked/4.png 1, real/4.png 2");
    cr_expect(strstr(words, "left out 2 folders: a link to a folder that holds it (first "), "%s",
              words);
    cr_expect(strstr(words, "left out 1 file: a pipe, a socket or a device (b/pipe.png)"), "%s",
              words);
    cr_expect(strstr(words, "no picture by its ending (b/broken)"), "%s", words);
    free(found), free(words);
    sources_close(&s);
    char *deep = format_text("%s/x", folder), *longer;
    for (int i = 0; i < 70; i++) {
        longer = format_text("%s/d", deep);
        free(deep);
        deep = longer;
    }
    ASSERT_OK(folder_make(deep, &err), err);
    cr_expect(sources_folder(&s, folder, NULL, &err) == ERR_FORMAT &&
                  strstr(err.text, "more than 64 folders deep"),
              "%s", err.text);
    free(deep);
    remove_folder(folder);
}

/* --- names ------------------------------------------------------------------------------------ */

Test(folders, line_breaks_in_names_are_refused_or_left_out) {
    static const char *const names[] = {"a/new\nline.png", "a/ret\rurn.jpg", "a\nb/1.png",
                                        "a\r\n/1.png"};
    static const char *const shown[] = {
        "new\\nline.png: its name has a line break", "ret\\rurn.jpg: its name has a line break",
        "a\\nb: the folder's name has a line break", "a\\r\\n: the folder's name has a line break"};
    SourceSplits s;
    Error err;
    for (int i = 0; i < 4; i++) {
        char *folder = tree("a/0.png b/0.png");
        put(folder, names[i], "P5 1 1 255 x", 12);
        cr_expect(sources_folder(&s, folder, NULL, &err) == ERR_FORMAT &&
                      strstr(err.text, shown[i]) && !strpbrk(err.text, "\r\n"),
                  "%s", err.text);
        ASSERT_OK(sources_folder(&s, folder, &(ListingOptions){.skip_bad = true}, &err), err);
        cr_expect(s.train.count == 2 && s.left.files == 1);
        char *words = said(&s);
        cr_expect(strstr(words, "a line break in its name") && !strchr(words, '\r'), "%s", words);
        free(words);
        sources_close(&s);
        remove_folder(folder);
    }
    char *folder = tree("a/0.png"); /* no image: macOS's "Icon\r" needs no refusal */
    put(folder, "a/Icon\r", "", 0);
    put(folder, "a/\x1b[31m\tred\xe9.png", "P5 1 1 255 x", 12);
    ASSERT_OK(sources_folder(&s, folder, NULL, &err), err);
    cr_expect(s.train.count == 2 && s.left.files == 1);
    char *words = said(&s);
    cr_expect(strstr(words, "(a/Icon\\r)"), "%s", words);
    free(words);
    sources_close(&s);
    remove_folder(folder);
}

/* --- the program ------------------------------------------------------------------------------ */

#define VIT "data/demo/checkpoints/demo_vit.pth"
#define PICTURES "tests/goldens/images"

/* Counts the lines of the file of fates by fate. Its paths, sorted and without escapes, must be
 * those of the folder, each once: `other` receives the differences. */
static void count_fates(const char *path, int *used, int *left, char other[512],
                        const char *folder) {
    char command[2048], line[64] = "";
    *used = *left = -1;
    snprintf(command, sizeof command,
             "export LC_ALL=C; cut -f1 %s | sort | uniq -c | tr -s ' \\n' '  '; echo; "
             "cut -f5 %s | tail -n +2 | grep -av '/$' | sed 's/\\\\\\\\/\\x01/g; s/\\\\t/\\t/g; "
             "s/\\\\r/\\r/g; s/\\x01/\\\\/g' | sort >%s.paths; "
             "cd %s && find . -type f -printf '%%P\\n' | sort | diff -a - %s.paths",
             path, path, path, folder, path);
    FILE *f = popen(command, "r");
    cr_assert(f && fgets(line, sizeof line, f));
    sscanf(line, " 1 fate %d left_out %d used", left, used);
    other[fread(other, 1, 511, f)] = '\0';
    pclose(f);
}

/* The folder holds some 370 files as people keep them: kinds, endings, classes, splits, odd names,
 * damage. Every file is used or left out, and says so once. */
Test(folders, each_of_370_files_has_one_fate, .timeout = 120) {
    static const char *const good[] = {PICTURES "/square150.jpg", PICTURES "/grey150x113.jpg",
                                       PICTURES "/line64x1.png", PICTURES "/exif6_161x110.jpg",
                                       PICTURES "/tall37x150.jpg"};
    static const char *const odd[] = {"sp ace.jpg",
                                      "com,ma.jpg",
                                      "quo\"te.jpg",
                                      "it's.jpg",
                                      "caf\xc3\xa9.jpg",
                                      "lat\xe9.jpg",
                                      "tab\t.jpg",
                                      "esc\x1b[31m.jpg",
                                      "per%s%n.jpg",
                                      "back\\slash.jpg",
                                      "-dash.jpg",
                                      "#hash.jpg",
                                      "two..dots.jpg",
                                      "UPPER.JPG",
                                      "end.JPeG",
                                      "x.jpe",
                                      "x.jfif",
                                      "\xf0\x9f\x90\xa2.jpg",
                                      "\xe2\x80\xae.jpg",
                                      "$HOME.jpg",
                                      "noending",
                                      "q?.jpg",
                                      "*.jpg",
                                      "[a].jpg",
                                      "~tilde.jpg"};
    static const char *const others[] = {
        "a.webp",      "b.tiff", "c.heic", "d.avif", "e.cr2", "f.mp4",     "g.mov",     "h.svg",
        "i.psd",       "j.txt",  "k.csv",  "l.json", "m.xml", "Thumbs.db", ".DS_Store", "._1.jpg",
        "n.jpg.bak",   "o.jpg~", "p",      "Icon\r", "q.zip", "r.jxl",     "s.md",      ".t.jpg",
        "desktop.ini", "u.webm", "v.dng",  "w.ico",  "x.pdf", "y.tif"};
    static const char *const classes[] = {"train/cat", "train/dog", "train/sea lion", "val/cat",
                                          "val/dog"};
    static const char *const aside[] = {"train/@eaDir/1.jpg/t.jpg",
                                        "__MACOSX/train/._1.jpg",
                                        "train/.ipynb_checkpoints/1.jpg",
                                        "test/cat/1.jpg",
                                        "test/cat/2.jpg",
                                        "loose.jpg",
                                        "extra/1.jpg",
                                        "README.md",
                                        "train/empty/notes.txt",
                                        "val/cat/lost+found/1.jpg"};
    char *root = temporary_folder(), *folder = format_text("%s/photos", root), other[512];
    FileMap map[5];
    Error err;
    int bad = 0;
    for (int i = 0; i < 5; i++) ASSERT_OK(file_map(&map[i], good[i], &err), err);
#define PUT(bytes, n, ...)                      \
    do {                                        \
        char *path_ = format_text(__VA_ARGS__); \
        put(folder, path_, bytes, n);           \
        free(path_);                            \
    } while (0)
    for (int c = 0; c < 5; c++) {
        for (int i = 0; i < 25; i++)
            PUT(map[i % 5].data, (size_t)map[i % 5].bytes, "%s/%s", classes[c], odd[i]);
        for (int i = 0; i < 30; i++) PUT("text", 4, "%s/%s", classes[c], others[i]);
        for (int i = 0; i < 15; i++)
            PUT(map[i % 5].data, (size_t)map[i % 5].bytes, "%s/nested/%d/%d.jpg", classes[c], i / 4,
                i);
        PUT("", 0, "%s/empty.png", classes[c]);
        PUT("no picture", 10, "%s/text.jpg", classes[c]);
        PUT(map[0].data, 900, "%s/cut.jpg", classes[c]);
        bad += 3;
    }
    for (int i = 0; i < 10; i++) PUT(map[0].data, (size_t)map[0].bytes, "%s", aside[i]);
    for (int i = 0; i < 5; i++) file_unmap(&map[i]);
    const int files = regular_files(folder);
    cr_assert(files >= 370, "%d", files);

    Ran ran;
    run_turtle(&ran, "features --root_dir %s --images %s --weights " VIT " --json --device cpu",
               root, folder);
    cr_expect(ran.status == 1 && strstr(ran.err, "--skip_bad"), "%s", ran.err);
    run_turtle(
        &ran, "features --root_dir %s --images %s --weights " VIT " --json --skip_bad --device cpu",
        root, folder);
    cr_assert(ran.status == 0, "%s", ran.err);
    const int images = (int)json_number(ran.out, "images");
    cr_expect(images == 5 * 40 && json_number(ran.out, "skipped") == bad, "%s", ran.out);
    cr_expect(utf8_prefix(ran.out, (int64_t)strlen(ran.out)) == (int64_t)strlen(ran.out));
    cr_expect(utf8_prefix(ran.err, (int64_t)strlen(ran.err)) == (int64_t)strlen(ran.err));
    cr_expect(!strpbrk(ran.err, "\x1b\r"), "control characters reach the terminal");
    static const char *const says[] = {
        "train 129 images of 3 classes, val 86 images of 2 classes; left out ",
        "left out 5 files: WebP is not read (first train/cat/a.webp); find ",
        "HEIC is not read",
        "video is not read",
        "in @eaDir, a folder of another program (train/@eaDir/1.jpg/t.jpg)",
        "of the test split, for val is scored (first test/cat/1.jpg)",
        "5 files without an ending (first train/cat/noending) read by content",
        "left out 1 folder: a class folder without images: it has no number (train/empty/)"};
    for (size_t i = 0; i < sizeof says / sizeof *says; i++)
        cr_expect(strstr(ran.err, says[i]), "expected '%s' in: %s", says[i], ran.err);
    char *fates = format_text("%s/representations/demo_vit/photos_files.tsv", root);
    int used, left, folders = 1; /* the empty class */
    count_fates(fates, &used, &left, other, folder);
    cr_expect(used == images && used + left - folders == files, "%d used, %d left out of %d files",
              used, left, files);
    cr_expect_str_eq(other, "");

    run_turtle(&ran, "labels --root_dir %s --images %s --phi demo_vit --json", root, folder);
    cr_assert(ran.status == 0, "%s", ran.err);
    cr_expect(json_number(ran.out, "images") == images);
    cr_expect(strstr(ran.out,
                     "\"splits\": [{\"split\": \"train\", \"images\": 129, \"classes\": 3, "
                     "\"left_out\": "),
              "%s", ran.out);
    char *again = format_text("%s/labels/photos_files.tsv", root);
    cr_expect(same_files(fates, again), "both commands tell the same fates");
    free(fates), free(again), free(folder);
    remove_folder(root);
}

/* Pieces of a sharded call tell together what one call tells. */
Test(folders, fates_of_shards_add_up, .timeout = 60) {
    char *root = tree("p/a/1.pgm p/a/2.pgm p/b/3.pgm p/b/4.webp p/b/5.txt"), command[1024];
    Ran ran;
    run_turtle(&ran, "features --root_dir %s --images %s/p --weights " VIT " --device cpu", root,
               root);
    cr_assert(ran.status == 0, "%s", ran.err);
    cr_expect(strncmp(ran.out, "3 images, 2 left out, ", 22) == 0, "%s", ran.out);
    for (int i = 1; i <= 2; i++) {
        run_turtle(&ran,
                   "features --root_dir %s --images %s/p --weights " VIT
                   " --device cpu --shard %d/2",
                   root, root, i);
        cr_assert(ran.status == 0, "%s", ran.err);
    }
    snprintf(command, sizeof command,
             "cd %s/representations/demo_vit && sort p_files.tsv >one && cat p_files.[12]of2.tsv | "
             "sort -u >two && test $(cat p_files.[12]of2.tsv | wc -l) = 7 && cmp one two",
             root);
    cr_expect(system(command) == 0);
    remove_folder(root);
}

Test(folders, images_beside_classes_need_a_label_only_for_labels, .timeout = 60) {
    char *root = tree("p/a/1.pgm p/b/2.pgm p/3.pgm"), *at = getcwd(NULL, 0);
    Ran ran;
    run_turtle(&ran, "features --root_dir %s --images %s/p --weights " VIT " --device cpu", root,
               root);
    cr_expect(ran.status == 0 &&
                  strstr(ran.err, "1 image beside class folders (3.pgm) has no label"),
              "%s", ran.err);
    run_turtle(&ran, "labels --root_dir %s --images %s/p", root, root);
    cr_expect(ran.status == 0 && strstr(ran.err, "labels: 1 of 3 images of the train split have no "
                                                 "known label"),
              "%s", ran.err);
    Npy npy;
    Error err;
    int64_t labels[3];
    char *written = format_text("%s/labels/p_train.npy", root);
    ASSERT_OK(npy_open(&npy, written, &err), err);
    ASSERT_OK(npy_read_i64(&npy, 0, 3, labels, &err), err);
    cr_expect(npy.count == 3 && labels[0] == -1 && labels[1] == 0 && labels[2] == 1);
    npy_close(&npy);
    free(written);
    run_turtle(&ran,
               "train --root_dir %s --dataset p --phis demo_vit --classes 2 --T 2 --batch_size 3 "
               "--device cpu",
               root);
    cr_expect(ran.status == 0, "features and labels go together: %s", ran.err);
    cr_assert(chdir(root) == 0);
    char *turtle = format_text("%s/" TURTLE_PROGRAM, at);
    char *command =
        format_text("cd %s/p && rm 3.pgm && %s labels --root_dir .. --images . --quiet && "
                    "cd a && %s labels --root_dir ../.. --images .. --quiet && "
                    "printf 'train\\t1\\ta/1.pgm\\n' | (cd .. && %s labels --root_dir .. "
                    "--list - --name piped --quiet)",
                    root, turtle, turtle, turtle);
    FILE *f = popen(command, "r");
    char out[512];
    out[fread(out, 1, sizeof out - 1, f)] = '\0';
    cr_expect(pclose(f) == 0, "%s", out);
    cr_expect(strstr(out, "../labels/p_train.npy") && strstr(out, "../labels/piped_train.npy"),
              "%s", out);
    cr_assert(chdir(at) == 0);
    free(turtle), free(command), free(at);
    remove_folder(root);
}
