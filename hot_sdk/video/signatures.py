"""Recognize video files by their content, and by their suffix if the content says nothing."""

from __future__ import annotations

from pathlib import Path

SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".3gp", ".3g2", ".f4v", ".mkv", ".webm", ".avi", ".divx", ".gif"),
    *(".mpg", ".mpeg", ".vob", ".m2v", ".m2ts", ".mxf", ".wmv", ".asf", ".flv", ".ogv", ".rm"),
    *(".h264", ".264", ".h265", ".265", ".hevc", ".h263", ".mjpeg", ".mjpg", ".y4m", ".ivf"),
    *(".dv", ".obu", ".nut", ".wtv"),
)
"""Suffixes that name a video even if its content is damaged; ``.ts`` and ``.mts`` also name
programs, so their content decides."""

_HEAD = 4096
_LARGEST_PICTURE = 8 << 20
_PICTURES = (".jpg", ".jpeg", ".jpe", ".mpo")
_SOUNDS = (".m4a", ".m4b", ".mka", ".oga", ".ogg", ".opus", ".wma")
# How keypoint files begin: JSON, npz, npy.
_KEYPOINTS = (b"{", b"[", b"PK\x03\x04", b"\x93NUMPY")
_BEGINNINGS = (
    b"\x1a\x45\xdf\xa3",  # Matroska and WebM
    b"FLV\x01",
    b"GIF8",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",  # ASF
    b"\xb7\xd8\x00\x20\x37\x49\xda\x11",  # WTV
    b"\x06\x0e\x2b\x34\x02\x05\x01\x01",  # MXF
    b"\x1f\x07\x00",  # DV
    b"DKIF",
    b"YUV4MPEG2",
    b"nut/multimedia",
    b".RMF",
    b"BBCD",
    b"\x12\x00\x0a",  # AV1 in its own units
)
_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
_PICTURE_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1", b"avif", b"crx ", b"M4A ")
_OGG_VIDEOS = (b"theora", b"BBCD", b"\x01video", b"OVP80")
# After the start code: packs, sequences and visual objects of MPEG-1, -2 and -4; then sets of
# parameters, delimiters and messages of H.264 and H.265.
_MPEG = (0xBA, 0xB3, 0xB0, 0xB5, 0xBB)
_H264 = (6, 7, 9)
_H265 = (32, 33, 34, 35, 39)
# Bytes from packet to packet: plain, with a time before each, and with a checksum after each.
_TRANSPORT = (188, 192, 204)
_SYNC = 0x47


def is_video_file(path: Path) -> bool:
    """Return whether a file is a video.

    A file that is missing, unreadable or of unknown content is judged by its suffix.
    """
    suffix = path.suffix.lower()
    try:
        if not path.is_file():
            return suffix in SUFFIXES or str(path).startswith("/dev/video")
        with path.open("rb") as stream:
            head = stream.read(_HEAD)
            if head.startswith(b"\xff\xd8\xff") and suffix not in (*_PICTURES, *SUFFIXES):
                # One picture is no video, and the pictures of a video follow one another.
                return b"\xff\xd9\xff\xd8\xff" in head + stream.read(_LARGEST_PICTURE)
    except OSError:
        return suffix in SUFFIXES
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(_KEYPOINTS) or suffix in _SOUNDS:
        return False
    return suffix in SUFFIXES or _is_video(head)


def _is_video(head: bytes) -> bool:
    if head.startswith(_BEGINNINGS):
        return True
    if head[4:8] in _BOXES:
        return head[8:12] not in _PICTURE_BRANDS
    if head.startswith(b"RIFF"):
        return head[8:12] in (b"AVI ", b"AMV ", b"CDXA")
    if head.startswith(b"OggS"):
        return any(name in head for name in _OGG_VIDEOS)
    return _is_mpeg(head) or _is_transport(head)


def _is_mpeg(head: bytes) -> bool:
    code = head[1:] if head.startswith(b"\0\0\0\1") else head
    if not code.startswith(b"\0\0\1") or len(code) < 5:
        return False
    kind, second = code[3], code[4]
    is_h264 = kind < 0x80 and kind & 0x1F in _H264
    is_h265 = kind < 0x80 and kind >> 1 in _H265 and second == 1
    return kind in _MPEG or is_h264 or is_h265


def _is_transport(head: bytes) -> bool:
    """Return whether packets of a transport stream follow one another, perhaps after a cut."""
    return any(
        all(head[at + packet * size] == _SYNC for packet in range(5))
        for size in _TRANSPORT
        for at in range(min(size, max(0, len(head) - 4 * size)))
    )
