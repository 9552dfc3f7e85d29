/* known.c - kinds of files that users bring by mistake, told by their first bytes. */
#include "io/files/known.h"

#include <string.h>

#define MARK(at, mark) at, sizeof(mark) - 1, mark
static const KnownFile known[] = {
    {MARK(0, "PAR1"), "Parquet", "pandas.read_parquet(%s).to_numpy('float32')", NULL},
    {MARK(0, "ARROW1"), "Arrow or Feather", "pandas.read_feather(%s).to_numpy('float32')", NULL},
    {MARK(0, "FEA1"), "Feather", "pandas.read_feather(%s).to_numpy('float32')", NULL},
    {MARK(0, "\x89HDF\r\n\x1a\n"), "HDF5", "h5py.File(%s)['NAME'][:]", NULL},
    {MARK(0, "MATLAB 5.0"), "a MATLAB file", "scipy.io.loadmat(%s)['NAME']", NULL},
    {MARK(0, "MATLAB 7.3"), "a MATLAB file (7.3, HDF5)", "h5py.File(%s)['NAME'][:].T", NULL},
    {MARK(0, "CDF"), "NetCDF", "scipy.io.netcdf_file(%s).variables['NAME'][:]", NULL},
    {MARK(0, "SIMPLE  ="), "FITS", "astropy.io.fits.getdata(%s)", NULL},
    {MARK(0, "RDX"), "R data", NULL, "write it with write.csv in R, then convert that"},
    {MARK(0, "\xd0\xcf\x11\xe0"), "an Excel file", "pandas.read_excel(%s).to_numpy('float32')",
     NULL},
    {MARK(0, "SQLite format 3"), "an SQLite data base", NULL, "export the table as CSV"},
    {MARK(0, "version https://git-lfs"), "a pointer of Git LFS, not the file itself", NULL,
     "run git lfs pull"},
    {MARK(0, "\x1f\x8b"), "compressed by gzip", NULL, "unpack it with gunzip"},
    {MARK(0, "\x28\xb5\x2f\xfd"), "compressed by zstd", NULL, "unpack it with unzstd"},
    {MARK(0, "BZh"), "compressed by bzip2", NULL, "unpack it with bunzip2"},
    {MARK(0, "\xfd"
             "7zXZ"),
     "compressed by xz", NULL, "unpack it with unxz"},
    {MARK(0, "7z\xbc\xaf"), "a 7z archive", NULL, "unpack it"},
    {MARK(257, "ustar"), "a tar archive", NULL, "unpack it with tar -xf"},
    {MARK(0, "\x89PNG"), "a PNG image", NULL, "turtle features --images makes features of images"},
    {MARK(0, "\xff\xd8\xff"), "a JPEG image", NULL,
     "turtle features --images makes features of images"},
    {MARK(0, "<!DOCTYPE"), "a web page: a download that failed", NULL, "fetch it again"},
    {MARK(0, "<!doctype"), "a web page: a download that failed", NULL, "fetch it again"},
    {MARK(0, "<html"), "a web page: a download that failed", NULL, "fetch it again"},
    {MARK(0, "<HTML"), "a web page: a download that failed", NULL, "fetch it again"},
    {MARK(0, "%PDF"), "a PDF", NULL, NULL},
    {MARK(0, "%!PS"), "PostScript", NULL, NULL},
    {MARK(0, "GGUF"), "GGUF", NULL, NULL},
    {MARK(0, "\x93NUMPY"), "a NumPy array", NULL, NULL},
    {MARK(0, "\0\5\26\7"), "a resource fork of macOS (._ files)", NULL, NULL},
    {MARK(0, "\x7f"
             "ELF"),
     "a program", NULL, NULL},
};

const KnownFile *known_file(const uint8_t *data, int64_t bytes) {
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const KnownFile *k = &known[i];
        if (bytes >= k->at + k->bytes && memcmp(data + k->at, k->mark, (size_t)k->bytes) == 0)
            return k;
    }
    return NULL;
}
