import { readFile, stat, writeFile } from 'node:fs/promises';
import { ImageError } from '../errors.ts';
import { decodeImage, ENCODED_IMAGE_BYTES_MAX, encodeImage, type Image } from './image.ts';

/** Writes an image to a file, over what is there. */
export async function writeImage(path: string, image: Image): Promise<void> {
  try {
    await writeFile(path, encodeImage(image));
  } catch (cause) {
    throw unusable(`cannot be written`, path, cause);
  }
}

/** Reads an image from a file and checks that it is whole. */
export async function readImage(path: string): Promise<Image> {
  return decodeImage(await readBounded(path));
}

async function readBounded(path: string): Promise<Uint8Array<ArrayBuffer>> {
  try {
    const status = await stat(path);
    if (status.isFile() && status.size <= ENCODED_IMAGE_BYTES_MAX)
      return new Uint8Array(await readFile(path));
  } catch (cause) {
    throw unusable('cannot be read', path, cause);
  }
  throw new ImageError(
    'SGXIO_IMAGE_INVALID',
    `${path} is no image: it is no file of at most ${ENCODED_IMAGE_BYTES_MAX} bytes.`,
  );
}

function unusable(what: string, path: string, cause: unknown): Error {
  if (cause instanceof ImageError) return cause;
  const reason = (cause as NodeJS.ErrnoException).code ?? (cause as Error).message;
  return new ImageError('SGXIO_IMAGE_INVALID', `The image ${path} ${what}: ${reason}.`, { cause });
}
